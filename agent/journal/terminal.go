package journal

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap/zapcore"
)

const (
	// terminalQueue is how many entries a reader may be behind.
	terminalQueue = 256
	// terminalPatience is how long one entry waits for a reader that does not
	// read at all; after that none does, until it reads again.
	terminalPatience = time.Second
	// terminalFarewell is how long the last entries have to be read.
	terminalFarewell = 3 * time.Second
)

// Terminal passes entries on to a writer that may block or fail: a terminal that
// is gone, a pipe that nobody reads, a journald that is stopped. Neither may hold
// up a boot or end it. A slow reader gets every entry; for one that stops reading
// entries are left out, and the next that it gets says how many. An error is
// nobody's: the log is the file.
type Terminal struct {
	entries chan []byte
	written chan struct{} // closed when all entries were passed on
	stuck   atomic.Bool   // the reader let an entry wait for too long, and has not read since
	omitted int

	priorities Priorities // of the line that says so
}

// NewTerminal returns a Terminal that writes to w. Write and Close it from one
// goroutine at a time.
func NewTerminal(w io.Writer, p Priorities) *Terminal {
	t := &Terminal{entries: make(chan []byte, terminalQueue), written: make(chan struct{}), priorities: p}
	go func() {
		defer close(t.written)
		for text := range t.entries {
			_, _ = w.Write(text)
			t.stuck.Store(false)
		}
	}()
	return t
}

// Write takes an entry. It never fails.
func (t *Terminal) Write(entry []byte) (int, error) {
	if t.omitted > 0 {
		note := fmt.Appendf(nil, "[%d lines are left out here; the log has them]\n", t.omitted)
		if t.pass(t.priorities.Mark(zapcore.WarnLevel, note)) {
			t.omitted = 0
		}
	}
	if t.omitted > 0 || !t.pass(slices.Clone(entry)) {
		t.omitted++
	}
	return len(entry), nil
}

func (t *Terminal) pass(text []byte) bool {
	select {
	case t.entries <- text:
		return true
	default:
	}
	if t.stuck.Load() {
		return false
	}
	timer := time.NewTimer(terminalPatience)
	defer timer.Stop()
	select {
	case t.entries <- text:
		return true
	case <-timer.C:
		t.stuck.Store(true)
		return false
	}
}

// Close waits a moment for the reader to take the last entries. The writer stays
// the caller's to close.
func (t *Terminal) Close() error {
	timer := time.NewTimer(terminalFarewell)
	defer timer.Stop()
	close(t.entries)
	select {
	case <-t.written:
	case <-timer.C:
	}
	return nil
}
