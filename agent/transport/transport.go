// Package transport is how the agent talks to servers it does not trust to be
// there: one HTTP transport with a limit on every wait, and one retry policy.
package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/go-retryablehttp"

	"startup-bundle/internal/secret"
)

// Limits of one request. The body has no limit here: whoever reads it watches it.
const (
	ConnectTimeout = 10 * time.Second // to a TCP connection, name lookup included
	TLSTimeout     = 10 * time.Second // for the handshake after that
	HeaderTimeout  = 30 * time.Second // from the request sent to the first header
	MaxRedirects   = 5
	Connections    = 16 // kept open per server

	maxHeaderBytes = 64 << 10
	maxCAFile      = 4 << 20
	maxText        = 300
	readBuffer     = 16 << 10 // for headers: a body goes past it
)

// New returns a transport for HTTP/1.1 over TLS 1.2 or later: certificates are
// checked against the system's roots and those in caFile (PEM; empty: none), the
// proxy comes from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, and bodies arrive as
// they are stored, so that offsets count the server's bytes. HTTP/2 is left out
// because it would put parallel ranges onto one connection. The caller may close
// its idle connections, and nothing else needs closing.
func New(caFile string) (*http.Transport, error) {
	roots, err := roots(caFile)
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: ConnectTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxyRefusal,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    TLSTimeout,
		ResponseHeaderTimeout:  HeaderTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    Connections,
		MaxIdleConns:           2 * Connections,
		IdleConnTimeout:        HeaderTimeout,
		DisableCompression:     true,
		Protocols:              &protocols,
		ReadBufferSize:         readBuffer,
	}, nil
}

// roots returns nil, which means the system's, where no file adds to them.
func roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	info, err := os.Stat(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxCAFile {
		return nil, fmt.Errorf("read CA file %s: not a regular file of at most %d bytes", caFile, maxCAFile)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // an image without any roots: the file's are all there is
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(bytes.TrimPrefix(pem, []byte("\ufeff"))) { // a mark would hide the first
		return nil, fmt.Errorf("read CA file %s: no PEM certificate in it", caFile)
	}
	return pool, nil
}

// NewClient returns a client that sends each request over rt at most retries+1
// times, again where check says so, after the wait that Backoff gives. It follows
// redirects as Redirect allows. It logs nothing, because what it would log holds
// whole URLs; and it returns the last answer, whatever its status, so that the
// caller can read why.
func NewClient(rt http.RoundTripper, retries int, check retryablehttp.CheckRetry) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: rt, CheckRedirect: Redirect},
		RetryWaitMin: MinWait,
		RetryWaitMax: MaxWait,
		RetryMax:     retries,
		CheckRetry:   check,
		Backoff:      Backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// Redirect is the http.Client.CheckRedirect of every client made here: at most
// MaxRedirects, never from https to http. It drops the Referer, which would hand
// a presigned query to the next server; net/http itself drops Authorization and
// cookies where the host changes.
func Redirect(r *http.Request, via []*http.Request) error {
	refuse := func(reason string) error {
		return &RedirectError{Reason: reason, To: secret.URL(r.URL.String())}
	}
	switch last := via[len(via)-1].URL.Scheme; {
	case r.URL.Scheme != "https" && r.URL.Scheme != "http":
		return refuse("only http and https are followed")
	case last == "https" && r.URL.Scheme == "http":
		return refuse("it leaves https")
	case len(via) > MaxRedirects:
		return refuse(fmt.Sprintf("more than %d redirects", MaxRedirects))
	}
	r.Header.Del("Referer")
	return nil
}

// NoRedirect is the http.Client.CheckRedirect for signed requests: the redirect
// itself is the answer.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Bare returns err, from an HTTP client, without the URL that the client puts around
// it. What a RoundTripper said stays whole, though it may hold an error of another
// client.
func Bare(err error) error {
	for {
		outer, ok := err.(*url.Error) //nolint:errorlint // only the outermost is the client's
		if !ok {
			return err
		}
		err = outer.Err
	}
}

// Sleep waits for d and returns nil, or ctx's error as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Printable returns text from outside on one line, at most 300 bytes of it.
func Printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}
