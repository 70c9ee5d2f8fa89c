package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"go.uber.org/zap"
)

func (r *remote) pump(ctx context.Context, first *answer, f *feed) error {
	if !first.more {
		return r.plain(ctx, first, first, f)
	}
	err := r.ranges(ctx, first, f)
	if unranged(err) && ctx.Err() == nil {
		r.log.Warn("ranges given up, going on with one connection", zap.String("url", r.URL), zap.Error(scrub(err)))
		r.whole = r.whole || !errors.Is(err, errRangeIgnored)
		return r.plain(ctx, first, nil, f)
	}
	return err
}

var (
	errRangeIgnored = errors.New("the server sent the whole file instead of a range")
	errWrongRange   = errors.New("the server sent another range than the one asked for")
)

// unranged reports whether err says that the server gives no ranges of the file that
// the first answer was of. A plain request for all of it may still do.
func unranged(err error) bool {
	var known *Error
	if errors.As(err, &known) {
		return known.Kind == Changed || known.Kind == Refused
	}
	return errors.Is(err, errRangeIgnored) || errors.Is(err, errWrongRange) || errors.Is(err, errContentRange)
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
		if unranged(err) && !r.whole && ctx.Err() == nil {
			r.whole = true
			continue
		}
		if err := tries.again(ctx, r.wrap(err)); err != nil {
			return err
		}
	}
}

// resume asks for what follows the bytes already put.
func (r *remote) resume(ctx context.Context, first *answer, f *feed) (*answer, error) {
	at := f.count.Load()
	want, condition := span{at, -1}, first.mark.ifRange
	if at == 0 || r.whole || (!first.mark.proves() && !r.pinned) {
		want = all
	}
	if r.pinned {
		condition = nil
	}
	resp, err := r.get(ctx, want, condition)
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

// part checks that a partial answer belongs to first's file. If the digest is pinned, an
// ETag or date does not matter: servers behind one name may each have their own, and the
// digest tells if the bytes are of another file.
func (r *remote) part(resp *http.Response, first *answer) (got span, size int64, err error) {
	got, size, err = contentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return got, size, err
	case !r.pinned && first.mark.differs(markOf(resp)):
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
