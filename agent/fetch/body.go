package fetch

import (
	"context"
	"errors"
	"io"
	"time"
)

var errStalled = errors.New("no byte came for " + stallTimeout.String())

// watched is a response's body that ends its request when a Read takes longer than
// stallTimeout. The time between Reads is the reader's own and not counted.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the request, to learn who ended it
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func watch(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser) *watched {
	timer := time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	timer.Stop()
	return &watched{body: body, ctx: ctx, cancel: cancel, timer: timer}
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(stallTimeout)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && errors.Is(context.Cause(w.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.body.Close()
}

// limited is a body of which no more than n bytes belong to the answer.
type limited struct {
	io.Reader
	io.Closer
}

func limit(body io.ReadCloser, n int64) io.ReadCloser {
	return limited{io.LimitReader(body, n), body}
}
