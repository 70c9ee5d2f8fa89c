package transport_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"startup-bundle/agent/transport"
	"startup-bundle/internal/pipenet"
)

func TestRetryAfterIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": 0, "2": 2 * time.Second, "30": 30 * time.Second, "31": 30 * time.Second,
		"86400": 30 * time.Second, "99999999999999999999": 30 * time.Second, "-99999999999999999999": 0, "1.5": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": 30 * time.Second,
	} {
		resp := &http.Response{Header: http.Header{"Retry-After": {text}}}
		if got := transport.RetryAfter(resp, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if transport.RetryAfter(nil, now) != 0 {
		t.Error("no response asks for a wait")
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"", "1", "-1", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := transport.RetryAfter(&http.Response{Header: http.Header{"Retry-After": {text}}}, time.Unix(1e9, 0))
		if got < 0 || got > transport.MaxRetryAfter {
			t.Errorf("%q: %s", text, got)
		}
	})
}

func TestBackoffIsJitteredAndCapped(t *testing.T) {
	asks := &http.Response{Header: http.Header{"Retry-After": {"3"}}}
	for _, attempt := range []int{0, 1, 5, 20, 63, 1 << 30} {
		var longest time.Duration
		for range 500 {
			wait := transport.Wait(attempt)
			longest = max(longest, wait)
			if wait < 0 || wait > transport.MaxWait || (attempt == 0 && wait > transport.MinWait) {
				t.Fatalf("attempt %d: %s", attempt, wait)
			}
			if wait := transport.Backoff(time.Second, time.Minute, attempt, asks); wait < 3*time.Second {
				t.Fatalf("attempt %d: %s is sooner than asked for", attempt, wait)
			}
		}
		if attempt >= 20 && longest < transport.MaxWait*9/10 {
			t.Errorf("attempt %d: never more than %s", attempt, longest)
		}
	}
}

func TestACAFileMustBeOne(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir: "regular", text: "no PEM", filepath.Join(dir, "none"): "no such file"} {
		if _, err := transport.New(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A byte order mark before the first certificate must not hide it.
func TestACAFileMayBeginWithAByteOrderMark(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, form := range map[string]string{"plain": string(text), "mark": "\ufeff" + string(text), "CRLF": strings.ReplaceAll("\ufeff"+string(text), "\n", "\r\n")} {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, []byte(form), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := transport.New(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyBoundedRedirectsAreFollowed(t *testing.T) {
	request := func(raw string) *http.Request {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u, Header: http.Header{"Referer": {"https://a/?s3cret"}}}
	}
	via := func(raw string, n int) (all []*http.Request) {
		for range n {
			all = append(all, request(raw))
		}
		return all
	}
	for name, test := range map[string]struct {
		to   string
		via  []*http.Request
		want string
	}{
		"to https":      {"https://b/?s3cret", via("https://a/", 1), ""},
		"up to https":   {"https://b/", via("http://a/", 1), ""},
		"between http":  {"http://b/", via("http://a/", 5), ""},
		"down to http":  {"http://b/?s3cret", via("https://a/", 1), "leaves https"},
		"one too many":  {"https://b/?s3cret", via("https://a/", 6), "more than 5"},
		"to a file":     {"file:///etc/shadow", via("http://a/", 1), "only http"},
		"to an archive": {"ftp://b/", via("https://a/", 1), "only http"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(test.to)
			err := transport.Redirect(r, test.via)
			var refused *transport.RedirectError
			switch {
			case test.want == "" && (err != nil || r.Header.Get("Referer") != ""):
				t.Errorf("got %v, %v", err, r.Header)
			case test.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestASlowReaderIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		rt, err := transport.New("")
		if err != nil {
			t.Fatal(err)
		}
		rt.Proxy = nil
		rt.DialContext = pipenet.New(t, map[string]http.Handler{"a": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			<-stop
		})})
		defer rt.CloseIdleConnections()
		defer close(stop)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.Watch(rt).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		time.Sleep(10 * transport.StallTimeout)
		buffer := make([]byte, 10)
		if n, err := resp.Body.Read(buffer); n != 4 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
		began := time.Now()
		if _, err := resp.Body.Read(buffer); !errors.Is(err, transport.ErrStalled) || time.Since(began) != transport.StallTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := transport.Sleep(ctx, time.Millisecond); err != nil {
			t.Error(err)
		}
		began := time.Now()
		if err := transport.Sleep(ctx, time.Hour); err == nil || time.Since(began) > time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestWhatIsRepeated(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, test := range map[string]struct {
		status int // 0: no answer
		err    error
		want   bool
	}{
		"success": {200, nil, false}, "not found": {404, nil, false}, "denied": {403, nil, false},
		"busy": {503, nil, true}, "throttled": {429, nil, true}, "slow": {408, nil, true},
		"not implemented": {501, nil, false}, "a reset": {0, io.ErrUnexpectedEOF, true},
		"a stalled body": {0, transport.ErrStalled, true}, "a read error": {0, &net.OpError{Op: "read"}, true},
		"no route": {0, &url.Error{Err: dial}, false}, "no name": {0, &url.Error{Err: &net.DNSError{}}, false},
		"a bad certificate": {0, &url.Error{Err: x509.HostnameError{Certificate: &x509.Certificate{}}}, false},
		"a redirect":        {302, &url.Error{Err: &transport.RedirectError{}}, false},
	} {
		resp := &http.Response{StatusCode: test.status, Body: http.NoBody}
		if got, err := transport.Transient(t.Context(), resp, test.err); got != test.want || err != nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if again, err := transport.Transient(ended, &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil); again || err != nil {
		t.Errorf("after the end: %t, %v", again, err)
	}
}

func TestAClientReturnsTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := 0
		rt, err := transport.New("")
		if err != nil {
			t.Fatal(err)
		}
		rt.Proxy = nil
		rt.DialContext = pipenet.New(t, map[string]http.Handler{"a": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			count++
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "why")
		})})
		defer rt.CloseIdleConnections()
		r, err := retryablehttp.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/?s3cret", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.NewClient(rt, 2, transport.Transient).Do(r)
		if err != nil || count != 3 {
			t.Fatalf("%d tries: %v", count, err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); string(text) != "why" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		gone := r.WithContext(t.Context())
		gone.URL.Host = "b"
		_, err = transport.NewClient(rt, 2, transport.Transient).Do(gone)
		if err := transport.Bare(err); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheTransportIsStrict(t *testing.T) {
	server := httptest.NewServer(nil)
	defer server.Close()
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	if !rt.DisableCompression || rt.TLSClientConfig.MinVersion < 0x0303 || rt.Protocols.HTTP2() || rt.ResponseHeaderTimeout == 0 || rt.TLSHandshakeTimeout == 0 {
		t.Errorf("%+v", rt)
	}
}
