package fetch_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
)

func TestARedirectNeverLeavesHTTPS(t *testing.T) {
	bubble(t, 5*time.Minute, func(t *testing.T, ctx context.Context) {
		var plain bool
		n := newNetwork(t, map[string]http.Handler{
			"mirror.example": http.RedirectHandler("http://plain.example/web.bundle?secret=s3", http.StatusFound),
			"plain.example":  http.HandlerFunc(func(http.ResponseWriter, *http.Request) { plain = true }),
		})
		n.transport.DialTLSContext = n.transport.DialContext // the test speaks for the certificate
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{"HTTPS://mirror.example/web.bundle"}})
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != fetch.Redirect || !strings.Contains(err.Error(), "leaves https") || plain || strings.Contains(err.Error(), "secret=") {
			t.Errorf("asked over http: %t; %v", plain, err)
		}
	})
}

func TestARedirectCarriesNoCredentials(t *testing.T) {
	bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
		var first, second http.Header
		n := newNetwork(t, map[string]http.Handler{
			"mirror.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first = r.Header.Clone()
				http.Redirect(w, r, "http://cdn.example/", http.StatusFound)
			}),
			"cdn.example": http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { second = r.Header.Clone() }),
		})
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{"http://user:pw@mirror.example/web.bundle?signature=s3"}})
		if err != nil || first.Get("Authorization") == "" {
			t.Fatalf("%v, first %v", err, first)
		}
		if second.Get("Authorization") != "" || second.Get("Referer") != "" || second.Get("Range") == "" {
			t.Errorf("the second server was told %v", second)
		}
	})
}

func TestABadCertificateIsNamed(t *testing.T) {
	bubble(t, 5*time.Minute, func(t *testing.T, ctx context.Context) {
		n := newNetwork(t, nil)
		n.transport.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
			return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
		}
		began := time.Now()
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{"https://mirror.example/web.bundle"}})
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != fetch.TLS || e.Attempt < 3 || !strings.Contains(err.Error(), "clock") || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestARealCertificateIsChecked(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "/does/not/exist")
	t.Setenv("SSL_CERT_DIR", "/does/not/exist")
	data := payload(3 << 20)
	server := httptest.NewUnstartedServer(object(data))
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ ca, want string }{"with its CA": {ca, ""}, "without": {"", "x509"}} {
		t.Run(name, func(t *testing.T) {
			rt, err := transport.New(test.ca)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if test.want != "" {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			defer cancel()
			got, _, err := fetchAll(ctx, &network{rt}, fetch.Request{URLs: []string{server.URL}})
			if test.want == "" && (err != nil || !bytes.Equal(got, data)) {
				t.Errorf("%d bytes: %v", len(got), err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || len(got) > 0) {
				t.Errorf("%d bytes: %v", len(got), err)
			}
		})
	}
}

func TestAFileOfThisMachine(t *testing.T) {
	data := payload(3<<20 + 1)
	path := filepath.Join(t.TempDir(), "web.bundle")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	n := newNetwork(t, nil)
	got, s, err := fetchAll(t.Context(), n, fetch.Request{URLs: []string{"file://" + path}, SHA256: digest(data)})
	if err != nil || !bytes.Equal(got, data) || s.Scheme() != "file" || s.Size() != int64(len(data)) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	_, _, err = fetchAll(t.Context(), n, fetch.Request{URLs: []string{"file://" + path}, SHA256: digest(nil)})
	var e *fetch.Error
	if !errors.As(err, &e) || e.Kind != fetch.Digest {
		t.Errorf("another digest: %v", err)
	}
}

func TestAFileThatIsWrittenWhileItIsReadHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.bundle")
	for name, size := range map[string]int64{"shorter": 1, "longer": 9 << 20} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, payload(8<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			n := newNetwork(t, nil)
			c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: n.transport})
			s, err := c.Open(t.Context(), fetch.Request{URLs: []string{"file://" + path}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if _, err = io.Copy(io.Discard, s); !fetch.Restartable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFIFOBlocksNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
		_, _, err := fetchAll(ctx, newNetwork(t, nil), fetch.Request{URLs: []string{"file://" + path}})
		if err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("got %v", err)
		}
	})
}

// somebody has credentials, or err.
type somebody struct{ err error }

func (s somebody) Retrieve(context.Context) (sdk.Credentials, error) {
	return sdk.Credentials{AccessKeyID: "AKID", SecretAccessKey: "s3cret"}, s.err
}

func TestAnObjectIsStreamedLikeAnyFile(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	data := payload(9 << 20)
	denied := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
	}
	tests := map[string]struct {
		handler http.Handler
		who     somebody
		kind    fetch.Kind
		text    string
	}{
		"whole":                  {handler: object(data)},
		"broken and signed anew": {handler: nth(object(data), func(n int64) bool { return n%3 == 0 }, cut(object(data), 1<<19))},
		"busy":                   {handler: nth(object(data), upTo(5), status(503))},
		"denied":                 {handler: http.HandlerFunc(denied), kind: fetch.Denied, text: "403 Forbidden, AccessDenied (no); allow s3:GetObject on arn:aws:s3:::bucket/web.bundle"},
		"redirected away":        {handler: http.RedirectHandler("https://evil.example/", http.StatusFound), kind: fetch.Refused, text: "302"},
		"without a role":         {handler: object(data), who: somebody{errors.New("no role")}, kind: fetch.Denied, text: "instance profile"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, 5*time.Minute, func(t *testing.T, ctx context.Context) {
				unsigned := 0
				n := newNetwork(t, map[string]http.Handler{
					"bucket.s3.eu-west-1.amazonaws.com": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if !strings.Contains(r.Header.Get("Authorization"), "range") {
							unsigned++
						}
						test.handler.ServeHTTP(w, r)
					}),
				})
				n.transport.DialTLSContext = n.transport.DialContext
				signer := aws.New(aws.Config{
					Logger: zap.NewNop(), Transport: n.transport, Credentials: test.who,
					Region: func(context.Context) (string, error) { return "eu-west-1", nil },
				})
				c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: n.transport, AWS: signer})
				got, _, err := fetchWith(ctx, c, fetch.Request{URLs: []string{"s3://bucket/web.bundle"}})
				var e *fetch.Error
				switch {
				case unsigned > 0:
					t.Errorf("%d requests were not signed", unsigned)
				case test.text == "" && (err != nil || !bytes.Equal(got, data)):
					t.Errorf("%d bytes: %v", len(got), err)
				case test.text != "" && (!errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(err.Error(), test.text)):
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestWithoutASignerThereIsNoS3(t *testing.T) {
	for _, url := range []string{"s3://bucket/web.bundle", "s3://bucket"} {
		_, _, err := fetchAll(t.Context(), newNetwork(t, nil), fetch.Request{URLs: []string{url}})
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != fetch.Unsupported {
			t.Errorf("got %v", err)
		}
	}
	if _, _, err := fetchAll(t.Context(), newNetwork(t, nil), fetch.Request{}); err == nil {
		t.Error("no URL at all is fetched")
	}
}

// "Going on" is said only where it does.
func TestTheLogTellsHowOftenWasTriedInVain(t *testing.T) {
	bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
		core, logs := observer.New(zap.DebugLevel)
		n := newNetwork(t, one(status(404)))
		c := fetch.New(fetch.Config{Logger: zap.New(core), Transport: n.transport})
		_, _, err := fetchWith(ctx, c, fetch.Request{URLs: []string{mirrorURL}})
		var e *fetch.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		count := func(message string) int { return logs.FilterMessage(message).Len() }
		if on, last := count("mirror does not serve, going on"), count("mirror does not serve"); on != e.Attempt-1 || last != 1 {
			t.Errorf("%d times going on, %d times the last, of %d tries", on, last, e.Attempt)
		}
		ended := logs.FilterMessage("not fetched").All()
		if len(ended) != 1 || ended[0].ContextMap()["attempt"] != int64(e.Attempt) {
			t.Errorf("%+v", ended)
		}
	})
}

func TestTheLogTellsProgressAndNoSecret(t *testing.T) {
	bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
		core, logs := observer.New(zap.DebugLevel)
		data := payload(9 << 20)
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(6 * time.Second)
			object(data)(w, r)
		}
		n := newNetwork(t, one(nth(http.HandlerFunc(slow), upTo(7), status(503))))
		c := fetch.New(fetch.Config{Logger: zap.New(core), Transport: n.transport})
		if _, _, err := fetchWith(ctx, c, fetch.Request{URLs: []string{mirrorURL + "?signature=s3cret"}}); err != nil {
			t.Fatal(err)
		}
		for _, entry := range logs.All() {
			text, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{}).EncodeEntry(entry.Entry, entry.Context)
			if err != nil || strings.Contains(text.String(), "s3cret") {
				t.Errorf("%s: %v", text, err)
			}
		}
		for message, want := range map[string]map[string]any{
			"mirror does not serve, going on": {"attempt": int64(1)},
			"fetching":                        {"attempt": int64(3)},
			"request will be repeated":        {"url": mirrorURL + "?redacted"},
			"still fetching":                  {"bytes": int64(2 << 20), "size": int64(9 << 20), "bytes_per_second": int64(2 << 20 / 5), "remaining": 18 * time.Second},
			"fetched":                         {"bytes": int64(9 << 20), "sha256": digest(data)},
		} {
			found := logs.FilterMessage(message).All()
			if len(found) == 0 {
				t.Errorf("nothing says %q", message)
				continue
			}
			for field, value := range want {
				if got := found[0].ContextMap()[field]; got != value {
					t.Errorf("%s: %s is %v, want %v", message, field, got, value)
				}
			}
		}
	})
}
