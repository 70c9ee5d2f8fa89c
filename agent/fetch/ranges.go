package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// block is one range of the file while it arrives.
type block struct {
	span   span
	grant  chan []byte // gives the buffer, once
	filled atomic.Int64
	news   chan struct{} // filled grew
	buffer []byte        // set by whoever took it from grant, and told to others by news
}

func newBlock(s span) *block {
	return &block{span: s, grant: make(chan []byte, 1), news: make(chan struct{}, 1)}
}

// grow says that n more bytes are there.
func (b *block) grow(n int) {
	b.filled.Add(int64(n))
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// ranges puts the file from several requests at a time. If the server stops giving
// ranges of it, ranges puts the beginning and returns an error that unranged knows. Each
// range is asked for again on its own. There are more requests than buffers: those that are next wait
// with their first bytes at hand for the buffer of one that is done, so that no
// time goes by between a request and its answer. Buffers are given out in the
// order of the file, so the one that the reader waits for has one.
func (r *remote) ranges(parent context.Context, first *answer, f *feed) error {
	group, ctx := errgroup.WithContext(parent)
	order := make(chan *block, requests-2) // one more is being put, one waits to get in
	waiting := make(chan *block, requests)
	free := buffers(arriving)
	group.Go(func() error {
		defer close(order)
		defer close(waiting)
		for from, to := int64(0), int64(firstRange); from < first.size; from, to = to, to+rangeSize {
			b := newBlock(span{from, min(to, first.size) - 1})
			begin := first
			if from > 0 {
				begin = nil
			}
			group.Go(func() error { return r.fill(ctx, b, first, begin) })
			waiting <- b // there is room: no more blocks than requests
			select {
			case order <- b:
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	group.Go(func() error { grant(ctx, waiting, free); return nil })
	group.Go(func() error { forward(parent, ctx, order, f, free); return nil })
	err := group.Wait()
	if err == nil && parent.Err() != nil {
		return r.ended(parent, nil)
	}
	return err
}

// grant gives each block in turn a buffer as soon as one is free, until ctx ends.
func grant(ctx context.Context, waiting <-chan *block, free <-chan []byte) {
	for b := range waiting {
		size := b.span.length()
		if size > rangeSize { // the first: its buffer is of no use for others
			b.grant <- make([]byte, size)
			continue
		}
		select {
		case buffer := <-free:
			if buffer == nil {
				buffer = make([]byte, rangeSize)
			}
			b.grant <- buffer[:size]
		case <-ctx.Done():
			return
		}
	}
}

// forward puts the blocks in order, each as far as it has arrived, until ctx ends. A piece
// that it has begun to put it finishes unless parent ends, because plain resumes behind it.
func forward(parent, ctx context.Context, order <-chan *block, f *feed, free chan<- []byte) {
	for b := range order {
		for done, size := 0, int(b.span.length()); done < size; {
			now := int(b.filled.Load())
			if now == done {
				select {
				case <-b.news:
					continue
				case <-ctx.Done():
					return
				}
			}
			p := piece{data: b.buffer[done:now]}
			if now == size && size <= rangeSize {
				p.whole, p.free = b.buffer[:cap(b.buffer)], free
			}
			if f.put(parent, p) != nil {
				return
			}
			done = now
		}
	}
}

// fill brings in b, beginning with cur where that is set.
func (r *remote) fill(ctx context.Context, b *block, first, cur *answer) error {
	var tries patience
	for {
		before := b.filled.Load()
		err := r.read(ctx, b, first, cur)
		if err == nil {
			return nil
		}
		if b.buffer == nil && ctx.Err() != nil {
			return nil //nolint:nilerr // it was not its turn yet: what ended ctx is told by another
		}
		if unranged(err) {
			return err
		}
		if b.filled.Load() > before {
			tries.failures = 0
		}
		if err := tries.again(ctx, r.wrap(err)); err != nil {
			return err
		}
		cur = nil
	}
}

// read reads into b what one request gives.
func (r *remote) read(ctx context.Context, b *block, first, cur *answer) error {
	at := b.filled.Load()
	if cur == nil {
		next, err := r.rangeAt(ctx, span{b.span.from + at, b.span.to}, first)
		if err != nil {
			return err
		}
		cur = next
	}
	defer cur.body.Close()
	if b.buffer == nil {
		select {
		case b.buffer = <-b.grant:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for at < int64(len(b.buffer)) {
		n, err := cur.body.Read(b.buffer[at:])
		at += int64(n)
		b.grow(n)
		switch {
		case at == int64(len(b.buffer)):
			return nil
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// rangeAt asks for s of first's file.
func (r *remote) rangeAt(ctx context.Context, s span, first *answer) (*answer, error) {
	condition := first.mark.ifMatch
	if r.pinned {
		condition = nil
	}
	resp, err := r.get(ctx, s, condition)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var got span
		if got, _, err = r.part(resp, first); err == nil && (got.from != s.from || got.to > s.to) {
			err = errWrongRange
		}
		if err == nil {
			return &answer{body: limit(resp.Body, got.length())}, nil
		}
	case http.StatusOK:
		err = errRangeIgnored
	case http.StatusRequestedRangeNotSatisfiable:
		err = r.fail(Changed, fmt.Errorf("it had %d bytes and is shorter now", first.size))
	default:
		err = r.answered(resp)
	}
	_ = resp.Body.Close()
	return nil, err
}
