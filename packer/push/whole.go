package push

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// whole is an HTTP client that knows how every upload ended. When its context ends,
// a body that is under way is cut, and the server can make nothing of it; one that
// was sent whole gets abortPatience to be answered. A server goes on with what it
// has whole, also after the upload was called off, and then keeps that part:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
type whole struct{ s3.HTTPClient }

// Do is that of [http.Client].
func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 {
		return w.HTTPClient.Do(r)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	body := &cuttable{ReadCloser: r.Body, left: r.ContentLength}
	stop := context.AfterFunc(r.Context(), func() {
		if !body.cut(context.Cause(r.Context())) {
			select {
			case <-time.After(abortPatience):
			case <-ctx.Done():
			}
		}
		cancel(context.Cause(r.Context()))
	})
	defer stop()
	detached := r.WithContext(ctx)
	detached.Body, detached.GetBody = body, nil
	resp, err := w.HTTPClient.Do(detached)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body) // before ctx ends
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, err
}

// cuttable is a body of known length that can be cut while it is not read whole.
type cuttable struct {
	io.ReadCloser
	mu   sync.Mutex
	left int64 // bytes
	err  error // of every Read since the cut
}

func (c *cuttable) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.left -= int64(n)
	return n, err
}

// cut reports whether there was something left to cut off.
func (c *cuttable) cut(why error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left <= 0 {
		return false
	}
	c.err = why
	return true
}
