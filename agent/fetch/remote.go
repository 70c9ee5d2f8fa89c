package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
)

// remote is a file behind HTTP.
type remote struct {
	place

	url    *url.URL
	client *retryablehttp.Client
	pinned bool        // the digest is known: what ranges were joined will be found out
	object *aws.Object // where the file is one of S3, or nil
}

func newRemote(c *Client, p place, u *url.URL, rt http.RoundTripper, pinned bool) *remote {
	r := &remote{place: p, url: u, pinned: pinned}
	check := func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		again, _ := transport.Transient(ctx, resp, err)
		if again && p.Mirrors > 1 && resp != nil && resp.Header.Get("Retry-After") != "" {
			return false, nil // the next mirror may not be busy
		}
		if again {
			c.log.Debug("request will be repeated", zap.String("url", p.URL), zap.Error(r.trouble(resp, err)))
		}
		return again, nil
	}
	r.client = transport.NewClient(rt, mirrorRetries, check)
	return r
}

// trouble is the error that a request's outcome is.
func (r *remote) trouble(resp *http.Response, err error) *Error {
	if err != nil {
		return r.wrap(err)
	}
	return r.answered(resp)
}

// answered returns the error that resp's status is, with what its body says if it
// is one of S3's.
func (r *remote) answered(resp *http.Response) *Error {
	said := aws.ReadError(resp)
	if r.object != nil {
		said = r.object.Explain(resp)
	}
	e := r.fail(kindOf(resp.StatusCode, said), said)
	e.Status, e.retryAfter = resp.StatusCode, transport.RetryAfter(resp, time.Now())
	if said.Hint != "" {
		e.Hint, said.Hint = said.Hint, "" // it is printed once
	}
	return e
}

// kindOf returns the kind of an answer with this status, in which said was read.
func kindOf(status int, said *aws.Error) Kind {
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return NotFound
	case status == http.StatusPreconditionFailed:
		return Changed
	case said.Busy():
		return Network
	case said.Denied() || status == http.StatusProxyAuthRequired:
		return Denied
	default:
		return Refused
	}
}

func (r *remote) at() place { return r.place }

// answer is a file's beginning, or its rest.
type answer struct {
	body io.ReadCloser
	size int64 // of the whole file, -1: not known
	mark mark
	more bool // body is only the first range; the others can be asked for
}

// open asks for the first range: the answer tells the size, and whether the server
// knows ranges at all.
func (r *remote) open(ctx context.Context) (*answer, error) {
	resp, err := r.get(ctx, span{0, firstRange - 1}, nil)
	if err != nil {
		return nil, err
	}
	mark := markOf(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return &answer{body: resp.Body, size: resp.ContentLength, mark: mark}, nil
	case http.StatusPartialContent:
		got, size, err := contentRange(resp.Header.Get("Content-Range"))
		whole := err == nil && got.to == size-1
		if err == nil && got.from == 0 && size > 0 && (whole || mark.proves() || r.pinned) {
			body := limit(resp.Body, got.length())
			return &answer{body: body, size: size, mark: mark, more: !whole}, nil
		}
	case http.StatusRequestedRangeNotSatisfiable: // an empty file has no first range
	default:
		defer resp.Body.Close()
		return nil, r.answered(resp)
	}
	_ = resp.Body.Close()
	return r.whole(ctx)
}

// whole asks for the file without a range.
func (r *remote) whole(ctx context.Context) (*answer, error) {
	resp, err := r.get(ctx, all, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, r.answered(resp)
	}
	return &answer{body: resp.Body, size: resp.ContentLength, mark: markOf(resp)}, nil
}

// get asks for s, under the condition that set (nil: none) adds.
func (r *remote) get(ctx context.Context, s span, set func(http.Header)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "startup-agent")
	if s != all {
		req.Header.Set("Range", s.header())
	}
	if set != nil {
		set(req.Header)
	}
	retryable, err := retryablehttp.FromRequest(req)
	if err != nil {
		return nil, err
	}
	return r.client.Do(retryable)
}

func (r *remote) pump(ctx context.Context, first *answer, f *feed) error {
	if !first.more {
		return r.plain(ctx, first, first, f)
	}
	err := r.ranges(ctx, first, f)
	if errors.Is(err, errRangeIgnored) && ctx.Err() == nil {
		return r.plain(ctx, first, nil, f)
	}
	return err
}

// plain puts what is missing of first's file from one connection after the other,
// the first of which is cur, or still to be made.
func (r *remote) plain(ctx context.Context, first, cur *answer, f *feed) error {
	var (
		tries patience
		free  = buffers(plainBuffers)
		err   error
	)
	for {
		before := f.count.Load()
		if cur == nil {
			cur, err = r.resume(ctx, first, f)
		}
		if cur != nil {
			err = f.drain(ctx, cur.body, cur.size, free)
			_ = cur.body.Close()
			cur = nil
			if err == nil {
				return nil
			}
		}
		if f.count.Load() > before {
			tries.failures = 0
		}
		if err := tries.again(ctx, r.wrap(err)); err != nil {
			return err
		}
	}
}

// resume asks for what follows the bytes already put.
func (r *remote) resume(ctx context.Context, first *answer, f *feed) (*answer, error) {
	at := f.count.Load()
	want := span{at, -1}
	if at == 0 || (!first.mark.proves() && !r.pinned) {
		want = all
	}
	resp, err := r.get(ctx, want, first.mark.ifRange)
	if err != nil {
		return nil, err
	}
	next, err := r.continues(resp, first, f)
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return next, nil
}

// continues returns resp as the rest of first's file, if it is that.
func (r *remote) continues(resp *http.Response, first *answer, f *feed) (*answer, error) {
	at, size := f.count.Load(), first.size
	switch resp.StatusCode {
	case http.StatusPartialContent:
		got, total, err := r.part(resp, first)
		if err == nil && got.from != at {
			err = errWrongRange
		}
		if err != nil {
			return nil, err
		}
		return &answer{body: limit(resp.Body, got.length()), size: max(size, total)}, nil
	case http.StatusOK: // no ranges here, or another file
		if err := r.rewind(resp.Body, f); err != nil {
			return nil, err
		}
		return &answer{body: resp.Body, size: resp.ContentLength}, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total, err := contentRange(resp.Header.Get("Content-Range")); err == nil && total == at && size < 0 {
			return &answer{body: http.NoBody, size: at}, nil // it broke behind the last byte
		}
		return nil, r.fail(Changed, errors.New("it is shorter than it was"))
	default:
		return nil, r.answered(resp)
	}
}

var errWrongRange = errors.New("the server sent another range than the one asked for")

// part checks that a partial answer belongs to first's file.
func (r *remote) part(resp *http.Response, first *answer) (got span, size int64, err error) {
	got, size, err = contentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return got, size, err
	case first.mark.differs(markOf(resp)):
		return got, size, r.fail(Changed, errors.New("its ETag or date is another one now"))
	case first.size >= 0 && size >= 0 && size != first.size:
		return got, size, r.fail(Changed, fmt.Errorf("it had %d bytes and has %d now", first.size, size))
	}
	return got, size, nil
}

// rewind reads from body what was put already and fails unless it is the same.
// That also lets a file go on that got a new date, but not new bytes.
func (r *remote) rewind(body io.Reader, f *feed) error {
	sum := sha256.New()
	_, err := io.CopyN(sum, body, f.count.Load())
	switch {
	case errors.Is(err, io.EOF):
		return r.fail(Changed, errors.New("it is shorter than it was"))
	case err != nil:
		return err
	case hex.EncodeToString(sum.Sum(nil)) != f.digest():
		return r.fail(Changed, errors.New("its beginning is another one now"))
	}
	return nil
}
