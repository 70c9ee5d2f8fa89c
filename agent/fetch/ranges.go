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
	buffer []byte
	filled atomic.Int64
	news   chan struct{} // filled grew
}

// grow says that n more bytes are there.
func (b *block) grow(n int) {
	b.filled.Add(int64(n))
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// ranges puts the file from inFlight requests at a time. Each range is asked for
// again on its own; memory is one buffer for each request, taken before the
// request is sent and given back when the reader has had it.
func (r *remote) ranges(parent context.Context, first *answer, f *feed) error {
	group, ctx := errgroup.WithContext(parent)
	order := make(chan *block, inFlight)
	free := buffers(inFlight)
	group.Go(func() error {
		defer close(order)
		for from := int64(0); from < first.size; from += rangeSize {
			b, err := nextBlock(ctx, span{from, min(from+rangeSize, first.size) - 1}, free)
			if err != nil {
				return nil
			}
			begin := first
			if from > 0 {
				begin = nil
			}
			group.Go(func() error { return r.fill(ctx, b, first, begin) })
			order <- b // there is room: no more blocks than buffers
		}
		return nil
	})
	group.Go(func() error { forward(ctx, order, f, free); return nil })
	err := group.Wait()
	if err == nil && parent.Err() != nil {
		return r.ended(parent, nil)
	}
	return err
}

// nextBlock returns a block for s as soon as a buffer is free.
func nextBlock(ctx context.Context, s span, free <-chan []byte) (*block, error) {
	select {
	case buffer := <-free:
		if buffer == nil {
			buffer = make([]byte, rangeSize)
		}
		return &block{span: s, buffer: buffer[:s.length()], news: make(chan struct{}, 1)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// forward puts the blocks in order, each as far as it has arrived, until ctx ends.
func forward(ctx context.Context, order <-chan *block, f *feed, free chan<- []byte) {
	for b := range order {
		for done := 0; done < len(b.buffer); {
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
			if now == len(b.buffer) {
				p.whole, p.free = b.buffer[:cap(b.buffer)], free
			}
			if f.put(ctx, p) != nil {
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

var errRangeIgnored = errors.New("the server sent the whole file instead of a range")

// rangeAt asks for s of first's file.
func (r *remote) rangeAt(ctx context.Context, s span, first *answer) (*answer, error) {
	resp, err := r.get(ctx, s, first.mark.ifMatch)
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
