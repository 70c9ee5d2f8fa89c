package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"startup-bundle/agent/transport"
)

// speaking returns the address of a server that reads what comes first and answers with
// text, whatever it was.
func speaking(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// secured returns a server under config, and the certificate to trust for it.
func secured(t *testing.T, config *tls.Config) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// Each thing that the other side can get wrong is told from a broken connection, with a
// text of its own.
func TestThePeersFaultIsNamed(t *testing.T) {
	old := secured(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	picky := secured(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12})
	other := secured(t, &tls.Config{MinVersion: tls.VersionTLS12})
	hello := string([]byte{22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1}) + strings.Repeat("\x00", 32) + "\x00\x00\x2f\x00" // TLS 1.0's ServerHello
	alert := "\x15\x03\x01\x00\x02\x02\x46"
	for name, test := range map[string]struct {
		url      string
		trust    *httptest.Server
		answered bool
		text     string
	}{
		"TLS 1.1 only":                {old.URL, old, true, "protocol version"},
		"a hello of TLS 1.0":          {"https://" + speaking(t, hello), nil, true, "unsupported protocol version"},
		"an alert":                    {"https://" + speaking(t, alert), nil, true, "remote error: tls"},
		"a client certificate wanted": {picky.URL, picky, true, "certificate"},
		"an unknown authority":        {other.URL, nil, true, "x509"},
		"plain HTTP for TLS":          {"https://" + speaking(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), nil, true, "speaks plain http"},
		"SSH for TLS":                 {"https://" + speaking(t, "SSH-2.0-OpenSSH_9.2\r\n"), nil, true, "TLS handshake"},
		"an end for TLS":              {"https://" + speaking(t, ""), nil, false, ""},
		"TLS for plain HTTP":          {"http://" + speaking(t, alert), nil, true, "speaks TLS at this port"},
		"SSH for plain HTTP":          {"http://" + speaking(t, "SSH-2.0-OpenSSH_9.2\r\n"), nil, true, "something else"},
		"HTTP/2 for plain HTTP":       {"http://" + speaking(t, "\x00\x00\x12\x04\x00\x00\x00\x00\x00"+strings.Repeat("\x01", 18)), nil, true, "HTTP/2"},
		"a newer HTTP":                {"http://" + speaking(t, "HTTP/2 200\r\n\r\n"), nil, true, "HTTP/2"},
		"a line of nonsense":          {"http://" + speaking(t, "s3cret?\r\n"), nil, true, "something else"},
		"an end for plain HTTP":       {"http://" + speaking(t, ""), nil, false, ""},
		"half a line":                 {"http://" + speaking(t, "HTTP/1.1 2"), nil, false, ""},
		"nobody":                      {"http://127.0.0.1:1/", nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rt, err := transport.New("")
			if err != nil {
				t.Fatal(err)
			}
			defer rt.CloseIdleConnections()
			rt.Proxy = nil
			if test.trust != nil {
				rt.TLSClientConfig.RootCAs = x509.NewCertPool()
				rt.TLSClientConfig.RootCAs.AddCert(test.trust.Certificate())
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: transport.Locate(transport.Watch(rt))}).Do(r)
			if err == nil {
				_ = resp.Body.Close()
				t.Fatal(resp.Status)
			}
			if transport.Answered(err) != test.answered || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("answered %t: %v", transport.Answered(err), err)
			}
			if again, _ := transport.Transient(t.Context(), nil, err); again && test.answered {
				t.Error("it is asked again at once")
			}
		})
	}
}

func TestABusyProxyMayDoBetter(t *testing.T) {
	for status, want := range map[int]bool{400: false, 403: false, 404: false, 407: false, 429: true, 500: true, 501: false, 502: false, 503: true, 504: true} {
		err := &transport.ProxyError{Proxy: "p:1", Status: status}
		if err.Busy() != want || transport.Answered(errors.Join(err)) == want {
			t.Errorf("%v: busy %t", err, err.Busy())
		}
	}
}
