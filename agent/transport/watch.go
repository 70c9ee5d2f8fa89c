package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// StallTimeout is how long a body may go without a byte before it breaks off.
const StallTimeout = 30 * time.Second

// ErrStalled is what reading such a body returns.
var ErrStalled = errors.New("no byte came for " + StallTimeout.String())

// Watch returns rt with a StallTimeout on the body of every answer, and with the types
// of this package for what the other side gets wrong. Only time spent inside Read
// counts: a slow reader breaks nothing.
func Watch(rt http.RoundTripper) http.RoundTripper { return watcher{rt} }

type watcher struct{ rt http.RoundTripper }

func (w watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	resp, err := named(w.rt, r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	timer := time.AfterFunc(StallTimeout, func() { cancel(ErrStalled) })
	timer.Stop()
	resp.Body = &watched{body: resp.Body, timer: timer, cancel: cancel, cause: func() error { return context.Cause(ctx) }}
	return resp, nil
}

// watched is a body that ends its request when a Read takes too long.
type watched struct {
	body   io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
	cause  func() error
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(StallTimeout)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && errors.Is(w.cause(), ErrStalled) {
		err = ErrStalled
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.body.Close()
}
