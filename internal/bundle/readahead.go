package bundle

import (
	"context"
	"errors"
	"io"
)

var errClosed = errors.New("bundle reader is closed")

// ended returns why ctx has ended, as an error that no layer takes for damage.
func ended(ctx context.Context) error { return &belowError{context.Cause(ctx)} }

// Until returns a reader of r that fails with the cause of ctx once that has ended.
func Until(ctx context.Context, r io.Reader) io.Reader { return &untilEnd{ctx, r} }

type untilEnd struct {
	ctx context.Context //nolint:containedctx // for the length of one copy
	r   io.Reader
}

func (u *untilEnd) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, ended(u.ctx)
	}
	return u.r.Read(p)
}

// readAhead reads from r on a goroutine of its own, at most blocks × size bytes
// ahead of its reader, so that two stages of the pipeline work at once. When ctx ends,
// reading fails with its cause, and the goroutine ends; if it waits for r, then as soon
// as r lets go of it.
type readAhead struct {
	ctx     context.Context //nolint:containedctx // the pipeline's
	full    chan []byte
	free    chan []byte
	most    int           // blocks that may be made
	stopped chan struct{} // closed when the goroutine has ended
	err     error         // r's, set before full is closed

	current, whole []byte
}

func newReadAhead(ctx context.Context, r io.Reader, blocks, size int) *readAhead {
	a := &readAhead{
		ctx:     ctx,
		full:    make(chan []byte, blocks),
		free:    make(chan []byte, blocks),
		most:    blocks,
		stopped: make(chan struct{}),
	}
	go a.run(r, size)
	return a
}

func (a *readAhead) run(r io.Reader, size int) {
	defer close(a.stopped)
	defer close(a.full)
	for made := 0; ; {
		var block []byte
		select {
		case block = <-a.free:
		default:
			// One that was used lies in the processor's cache and has its memory: another
			// is made only where the reader has all there are.
			if made < a.most {
				block = make([]byte, size)
				made++
			}
		}
		if block == nil {
			select {
			case block = <-a.free:
			case <-a.ctx.Done():
				a.err = ended(a.ctx)
				return
			}
		}
		n, err := fill(r, block)
		if n > 0 {
			a.full <- block[:n] // never blocks: there are as many places as blocks
		}
		if err != nil {
			a.err = err
			return
		}
	}
}

// fill reads until block is full or r has ended, and keeps r's own error.
func fill(r io.Reader, block []byte) (int, error) {
	const patience = 100 // reads in a row that may give nothing, as in bufio
	n, empty := 0, 0
	for n < len(block) {
		m, err := r.Read(block[n:])
		n += m
		if err != nil {
			return n, err
		}
		if empty++; m > 0 {
			empty = 0
		}
		if empty >= patience {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

func (a *readAhead) Read(p []byte) (int, error) {
	data, err := a.next(len(p))
	return copy(p, data), err
}

// next returns what is there of the next most bytes. They are the caller's to read
// until the next call.
func (a *readAhead) next(most int) ([]byte, error) {
	if len(a.current) == 0 {
		if a.whole != nil {
			a.free <- a.whole
			a.whole = nil
		}
		select {
		case <-a.ctx.Done():
			return nil, ended(a.ctx)
		default:
		}
		select {
		case block, ok := <-a.full:
			if !ok {
				return nil, a.err
			}
			a.current, a.whole = block, block[:cap(block)]
		case <-a.ctx.Done():
			return nil, ended(a.ctx)
		}
	}
	data := a.current[:min(most, len(a.current))]
	a.current = a.current[len(data):]
	return data, nil
}
