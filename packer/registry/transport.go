package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

// DefaultStall is how long a transfer may stand still.
const DefaultStall = time.Minute

const (
	connectTimeout = 10 * time.Second // to a TCP connection, name lookup included
	tlsTimeout     = 10 * time.Second // for the handshake after that
	headerTimeout  = time.Minute      // from the request sent to the first header: some store a blob first
	maxRedirects   = 5
	maxHeaderBytes = 64 << 10
	maxRetries     = 5
	minWait        = 200 * time.Millisecond
	maxWait        = 3 * time.Second // also where a registry asks for more
)

// newHTTPClient returns a client with a limit on every wait. A request that met a
// busy server (408, 429, 5xx) or a connection that broke is tried again, up to
// five times in some seconds.
func newHTTPClient(stall time.Duration, known *secrets) *http.Client {
	base := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true, // sizes and digests are of the bytes as sent
	}
	return &http.Client{
		Transport:     &watchful{next: &retry.Transport{Base: base, Policy: retryPolicy}, stall: stall, known: known},
		CheckRedirect: checkRedirect,
	}
}

func retryPolicy() retry.Policy {
	return &retry.GenericPolicy{
		Retryable: func(resp *http.Response, err error) (bool, error) {
			if errors.Is(err, io.EOF) { // closed before an answer
				return true, nil
			}
			return retry.DefaultPredicate(resp, err)
		},
		Backoff: retry.DefaultBackoff, MinWait: minWait, MaxWait: maxWait, MaxRetry: maxRetries,
	}
}

// checkRedirect lets registries send us to their storage, but not out of https.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("it redirects from https to %s on %s", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// watchful ends a request whose bytes stand still, notes the credentials that go
// out so that no error repeats them, and makes a body of ours rewindable.
type watchful struct {
	next  http.RoundTripper
	stall time.Duration
	known *secrets
}

// reopener is a request body that can be had from its beginning again.
type reopener interface {
	reopen() io.ReadCloser
}

func (w *watchful) RoundTrip(req *http.Request) (*http.Response, error) {
	w.known.noteHeader(req.Header.Get("Authorization"))
	ctx, cancel := context.WithCancelCause(req.Context())
	stalled := fmt.Errorf("nothing moved for %s", w.stall)
	timer := time.AfterFunc(w.stall, func() { cancel(stalled) })
	timer.Stop()
	body := req.Body
	req = req.Clone(ctx)
	if again, ok := body.(reopener); ok {
		req.GetBody = func() (io.ReadCloser, error) {
			return &watchedUpload{again.reopen(), timer, w.stall}, nil
		}
	}
	if body != nil && body != http.NoBody {
		req.Body = &watchedUpload{body, timer, w.stall}
	}
	resp, err := w.next.RoundTrip(req)
	timer.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), stalled) {
			err = stalled
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedDownload{resp.Body, ctx, cancel, timer, w.stall}
	return resp, nil
}

// watchedUpload is a request's body. The clock runs while the network takes in
// what it has read.
type watchedUpload struct {
	io.ReadCloser
	timer *time.Timer
	stall time.Duration
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil {
		u.timer.Stop()
	} else {
		u.timer.Reset(u.stall)
	}
	return n, err
}

func (u *watchedUpload) Close() error {
	u.timer.Stop()
	return u.ReadCloser.Close()
}

// watchedDownload is a response's body. The clock runs while it is being read.
type watchedDownload struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // the request's own
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

func (d *watchedDownload) Read(p []byte) (int, error) {
	d.timer.Reset(d.stall)
	n, err := d.ReadCloser.Read(p)
	d.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(d.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (d *watchedDownload) Close() error {
	d.timer.Stop()
	err := d.ReadCloser.Close()
	d.cancel(nil)
	return err
}
