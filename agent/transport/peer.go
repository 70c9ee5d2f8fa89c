package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"startup-bundle/internal/secret"
)

// RedirectError says why a redirect was not followed.
type RedirectError struct {
	Reason string
	To     string // redacted; empty if the server named no place
}

func (e *RedirectError) Error() string {
	if e.To == "" {
		return "redirect refused: " + e.Reason
	}
	return "redirect to " + e.To + " refused: " + e.Reason
}

// ProxyError is a proxy's refusal to connect to the server.
type ProxyError struct {
	Proxy  string // its host and port
	Status int    // its answer to CONNECT
}

func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s answers CONNECT with %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
}

// Busy reports whether a later try may do better. A proxy says 503 or 504 of a server
// that it cannot reach.
func (e *ProxyError) Busy() bool {
	return e.Status != http.StatusBadGateway && Busy(e.Status)
}

// HandshakeError is a TLS handshake that failed although the connection held.
type HandshakeError struct{ Err error }

func (e *HandshakeError) Error() string {
	if e.PlainHTTP() {
		return "the server speaks plain http at this port, not https"
	}
	return "TLS handshake: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// PlainHTTP reports whether the server answered in plain HTTP.
func (e *HandshakeError) PlainHTTP() bool {
	var record tls.RecordHeaderError
	return errors.As(e.Err, &record) && string(record.RecordHeader[:]) == "HTTP/"
}

// ProtocolError is an answer that is not HTTP/1.1.
type ProtocolError struct{ Speaks string }

func (e *ProtocolError) Error() string {
	return "the server does not answer in HTTP/1.1: it " + e.Speaks
}

// proxyRefusal is the http.Transport.OnProxyConnectResponse of every transport made
// here. net/http's own error for it is the status text alone.
func proxyRefusal(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Status: resp.StatusCode}
}

// named sends r over rt and gives its error a type that says what the other side got
// wrong. net/http has none for a handshake that fails on this side, nor for an answer
// that is not HTTP.
func named(rt http.RoundTripper, r *http.Request) (*http.Response, error) {
	var handshake atomic.Pointer[error]
	trace := &httptrace.ClientTrace{TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
		if err != nil {
			handshake.Store(&err)
		}
	}}
	resp, err := rt.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err == nil {
		return resp, nil
	}
	if failed := handshake.Load(); failed != nil && errors.Is(err, *failed) && !broken(err) {
		return nil, &HandshakeError{err}
	}
	return nil, notHTTP(err)
}

// broken reports whether err came from the connection, not from what was said on it.
func broken(err error) bool {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	for _, gone := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded,
		syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
	} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// notHTTP returns err as a *ProtocolError if it is net/http's complaint about the first
// line of an answer. That has no type of its own, and quotes the line with %q.
func notHTTP(err error) error {
	_, complaint, found := strings.Cut(err.Error(), "malformed HTTP ")
	what, line, _ := strings.Cut(complaint, ` "`)
	if !found || what == "status code" || strings.HasPrefix(line, "HTTP/1.") { // the latter two: cut off
		return err
	}
	switch {
	case strings.HasPrefix(line, `\x15\x03`), strings.HasPrefix(line, `\x16\x03`): // an alert, a handshake
		return &ProtocolError{"speaks TLS at this port: use https://"}
	case strings.HasPrefix(line, `\x00\x00`), strings.HasPrefix(line, "HTTP/2"): // a SETTINGS frame comes first
		return &ProtocolError{"speaks HTTP/2 alone: serve the file by HTTP/1.1 too"}
	default:
		return &ProtocolError{"sends something else: check the URL's port"}
	}
}

// Untrusted reports whether err says that the server's certificate is not good, or
// that there is no version of TLS that both sides accept.
func Untrusted(err error) bool {
	var (
		handshake    *HandshakeError
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		record       tls.RecordHeaderError
		operation    *net.OpError
	)
	// crypto/tls reports the other side's alert as this operation; its type is not exported.
	if errors.As(err, &operation) && operation.Op == "remote error" {
		return true
	}
	return errors.As(err, &handshake) || errors.As(err, &verification) || errors.As(err, &authority) ||
		errors.As(err, &hostname) || errors.As(err, &invalid) || errors.As(err, &record)
}

// Answered reports whether err is an answer of some kind, which the same question is
// likely to get again: not a connection that broke, or was never made.
func Answered(err error) bool {
	var (
		redirect *RedirectError
		proxy    *ProxyError
		protocol *ProtocolError
	)
	return errors.As(err, &redirect) || errors.As(err, &proxy) && !proxy.Busy() || errors.As(err, &protocol) || Untrusted(err)
}

// Locate returns rt with a *RedirectError in the place of a redirect to nowhere.
// net/http has no type for a Location that it cannot parse.
func Locate(rt http.RoundTripper) http.RoundTripper { return locator{rt} }

type locator struct{ rt http.RoundTripper }

func (l locator) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.rt.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return resp, nil
	}
	location := resp.Header.Get("Location")
	to, err := r.URL.Parse(location)
	var wrong *RedirectError
	switch {
	case location == "":
		wrong = &RedirectError{Reason: "the server does not say where to"}
	case err != nil:
		wrong = &RedirectError{Reason: "its Location is not a URL"}
	case to.Hostname() == "" && (to.Scheme == "http" || to.Scheme == "https"):
		wrong = &RedirectError{Reason: "its Location names no host", To: secret.URL(to.String())}
	default:
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, wrong
}
