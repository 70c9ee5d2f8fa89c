package journal_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"startup-bundle/agent/journal"
)

func writeLines(t *testing.T, w io.Writer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := fmt.Fprintf(w, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSlowTerminalGetsEveryLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		terminal := journal.NewTerminal(w, false)
		const lines = 2000 // more than are queued
		go func() {
			writeLines(t, terminal, 0, lines)
			_ = terminal.Close()
			_ = w.Close()
		}()
		n := 0
		for s := bufio.NewScanner(r); s.Scan(); n++ {
			if want := fmt.Sprintf("line %d", n); s.Text() != want {
				t.Fatalf("got %q, want %q", s.Text(), want)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if n != lines {
			t.Errorf("%d lines, want %d", n, lines)
		}
	})
}

func TestStuckTerminalHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		terminal := journal.NewTerminal(w, false)
		began := time.Now()
		writeLines(t, terminal, 0, 100_000)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the writer was held up for %v", took)
		}
		// It is read again: what was kept, how much was not, and what comes.
		lines, got := make(chan string), 0
		go func() {
			for s := bufio.NewScanner(r); s.Scan(); {
				lines <- s.Text()
			}
			close(lines)
		}()
		for line := range lines {
			if want := fmt.Sprintf("line %d", got); line != want {
				t.Fatalf("got %q, want %q", line, want)
			}
			got++
			synctest.Wait() // until the pipe has all that it can take
			if len(lines) == 0 && got >= 257 {
				break
			}
		}
		writeLines(t, terminal, 100_000, 100_001)
		if line, want := <-lines, fmt.Sprintf("[%d lines are left out here; the log has them]", 100_000-got); line != want {
			t.Errorf("got %q, want %q", line, want)
		}
		if line, want := <-lines, "line 100000"; line != want {
			t.Errorf("got %q, want %q", line, want)
		}
		_ = terminal.Close()
		_ = r.Close()
		for range lines {
			t.Error("more came")
		}
	})
}

func TestStuckTerminalDoesNotKeepTheProgramFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		terminal := journal.NewTerminal(w, false)
		writeLines(t, terminal, 0, 1)
		began := time.Now()
		_ = terminal.Close()
		if took := time.Since(began); took == 0 || took > 5*time.Second {
			t.Errorf("it waited for %v", took)
		}
		_ = r.Close()
	})
}

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) { b.writes++; return 0, errors.New("gone") }

func TestTerminalThatIsGoneIsNobodysError(t *testing.T) {
	var gone broken
	terminal := journal.NewTerminal(&gone, false)
	writeLines(t, terminal, 0, 10)
	if err := terminal.Close(); err != nil {
		t.Error(err)
	}
	if gone.writes != 10 { // it may come back, as a disk that has room again
		t.Errorf("%d writes, want 10", gone.writes)
	}
}
