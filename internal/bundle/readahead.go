package bundle

import (
	"errors"
	"io"
	"sync"
)

var errClosed = errors.New("bundle reader is closed")

// readAhead reads from r on a goroutine of its own, at most blocks × size bytes
// ahead of its reader, so that two stages of the pipeline work at once.
type readAhead struct {
	full    chan []byte
	free    chan []byte
	most    int           // blocks that may be made
	done    chan struct{} // closed by stop
	stopped chan struct{} // closed when the goroutine has ended
	once    sync.Once
	err     error // r's, set before full is closed

	current, whole []byte
}

func newReadAhead(r io.Reader, blocks, size int) *readAhead {
	a := &readAhead{
		full:    make(chan []byte, blocks),
		free:    make(chan []byte, blocks),
		most:    blocks,
		done:    make(chan struct{}),
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
			case <-a.done:
				a.err = errClosed
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
		case <-a.done:
			return nil, errClosed
		default:
		}
		select {
		case block, ok := <-a.full:
			if !ok {
				return nil, a.err
			}
			a.current, a.whole = block, block[:cap(block)]
		case <-a.done:
			return nil, errClosed
		}
	}
	data := a.current[:min(most, len(a.current))]
	a.current = a.current[len(data):]
	return data, nil
}

// stop makes Read fail and tells the goroutine to end; a goroutine that waits
// for r ends when r lets go of it.
func (a *readAhead) stop() { a.once.Do(func() { close(a.done) }) }
