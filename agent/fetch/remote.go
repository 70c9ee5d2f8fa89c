package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
)

// remote is a file behind HTTP.
type remote struct {
	place

	log    *zap.Logger
	url    *url.URL
	target atomic.Pointer[url.URL] // where url's redirects ended, or nil
	client *retryablehttp.Client
	pinned bool        // the digest is known: it tells if the ranges that were joined belong together
	whole  bool        // ask for the whole file only
	object *aws.Object // where the file is one of S3, or nil
}

func newRemote(c *Client, p place, u *url.URL, rt http.RoundTripper, pinned, whole bool) *remote {
	r := &remote{place: p, log: c.log, url: u, pinned: pinned, whole: whole}
	check := func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		again, _ := transport.Transient(ctx, resp, err)
		if unidentified(err) {
			return false, nil // instance metadata was waited for already
		}
		if again && p.Mirrors > 1 && (timedOut(err) || resp != nil && resp.Header.Get("Retry-After") != "") {
			return false, nil // the next mirror may answer, or not be busy
		}
		if again {
			c.log.Debug("request will be repeated", zap.String("url", p.URL), zap.Error(r.trouble(resp, err)))
		}
		return again, nil
	}
	r.client = transport.NewClient(rt, mirrorRetries, check)
	return r
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
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
	if r.url.Scheme == "http" && resp.StatusCode == http.StatusBadRequest && expectsTLS(resp.Body) {
		e.Hint = "the server expects https at this port: use https://"
	}
	return e
}

// expectsTLS reports whether the page of a 400 is what nginx, Apache, Go and others say
// to plain HTTP at a port for TLS.
func expectsTLS(page io.Reader) bool {
	text, _ := io.ReadAll(io.LimitReader(page, 4<<10))
	return bytes.Contains(text, []byte("HTTPS")) || bytes.Contains(text, []byte("SSL-enabled"))
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

	encoding string // Content-Encoding, if that is not identity
}

// open asks for the first range: the answer tells the size, and whether the server
// knows ranges at all. If it refuses the range, open asks for the whole file.
func (r *remote) open(ctx context.Context) (*answer, error) {
	if r.whole {
		return r.all(ctx)
	}
	resp, err := r.get(ctx, span{0, firstRange - 1}, nil)
	if err != nil {
		return nil, err
	}
	mark := markOf(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return r.answer(resp), nil
	case http.StatusPartialContent:
		got, size, err := contentRange(resp.Header.Get("Content-Range"))
		whole := err == nil && got.to == size-1
		if err == nil && got.from == 0 && size > 0 && (whole || mark.proves() || r.pinned) {
			first := r.answer(resp)
			first.body, first.size, first.more = limit(resp.Body, got.length()), size, !whole
			return first, nil
		}
	case http.StatusRequestedRangeNotSatisfiable: // an empty file has no first range
	default:
		if trouble := r.answered(resp); !unranged(trouble) || trouble.Status < http.StatusBadRequest {
			_ = resp.Body.Close()
			return nil, trouble
		}
	}
	_ = resp.Body.Close()
	return r.all(ctx)
}

// all asks for the file without a range.
func (r *remote) all(ctx context.Context) (*answer, error) {
	resp, err := r.get(ctx, all, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, r.answered(resp)
	}
	return r.answer(resp), nil
}

// answer returns resp as the beginning of a file.
func (r *remote) answer(resp *http.Response) *answer {
	encoding := transport.Printable(resp.Header.Get("Content-Encoding"))
	if encoding == "identity" {
		encoding = ""
	}
	return &answer{body: resp.Body, size: resp.ContentLength, mark: markOf(resp), encoding: encoding}
}

// get asks for s, under the condition that set (nil: none) adds. It goes straight to
// where the last redirect led, and to the original URL again if that does not serve: such
// a place may be signed for a short time only.
func (r *remote) get(ctx context.Context, s span, set func(http.Header)) (*http.Response, error) {
	if target := r.target.Load(); target != nil {
		resp, err := r.ask(ctx, target, s, set)
		switch {
		case err == nil && served(resp.StatusCode):
			return resp, nil
		case err != nil, transport.Busy(resp.StatusCode):
			r.target.CompareAndSwap(target, nil) // for the next try, which waits
			return resp, err
		}
		_ = resp.Body.Close()
		r.target.CompareAndSwap(target, nil)
	}
	resp, err := r.ask(ctx, r.url, s, set)
	if err == nil && r.object == nil && served(resp.StatusCode) && resp.Request.Response != nil { // redirected
		r.target.Store(resp.Request.URL)
	}
	return resp, err
}

// served reports whether status says something about the file, not about the way to it.
func served(status int) bool {
	switch status {
	case http.StatusOK, http.StatusPartialContent, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return true
	default:
		return false
	}
}

// ask sends one request to u.
func (r *remote) ask(ctx context.Context, u *url.URL, s span, set func(http.Header)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
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
