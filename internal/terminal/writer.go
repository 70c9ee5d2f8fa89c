package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unicode/utf8"
)

// Writer is a program's standard output or error. What is written to it becomes
// safe to show, so that no command can forget to do it; line breaks stay. It keeps
// the first error of the writer below, for the exit code. It is safe for concurrent
// use.
type Writer struct {
	w    io.Writer
	mu   sync.Mutex
	rest []byte // the beginning of a character whose end has not been written yet
	err  error
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes text with every unsafe character replaced.
func (w *Writer) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shown := text
	if len(w.rest) > 0 || !printableLines(text) {
		shown = append(w.rest, text...)
		end := len(shown) - unfinished(shown)
		w.rest = append([]byte(nil), shown[end:]...)
		shown = safeLines(shown[:end])
	}
	if err := w.put(shown); err != nil {
		return 0, err
	}
	return len(text), nil
}

// put writes text. The caller holds mu.
func (w *Writer) put(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	_, err := w.w.Write(text)
	if w.err == nil {
		w.err = err
	}
	return err
}

// Raw returns a writer that changes nothing: for a result that is a file's exact
// content, and for the program's own colours.
func (w *Writer) Raw() io.Writer { return raw{w} }

type raw struct{ *Writer }

func (r raw) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.put(text); err != nil {
		return 0, err
	}
	return len(text), nil
}

// File returns the file below, if it is one.
func (w *Writer) File() (*os.File, bool) {
	f, ok := w.w.(*os.File)
	return f, ok
}

// Below returns the file that w is a Writer to, for a program that is to inherit
// it; any other w is returned as it is.
func Below(w io.Writer) io.Writer {
	if safe, ok := w.(*Writer); ok {
		if f, ok := safe.File(); ok {
			return f
		}
	}
	return w
}

// End writes what is left of a cut character, and returns the first error that
// any write gave.
func (w *Writer) End() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.rest
	w.rest = nil
	_ = w.put(safeLines(rest))
	return w.err
}

// The exit codes of a program that could not write its result. A reader that has
// gone, as head does, is how shells report SIGPIPE.
const (
	CodeLost       = 1
	CodeReaderGone = 128 + int(syscall.SIGPIPE)
)

// Lost returns the exit code for an error of standard output, and says on stderr
// what happened unless the reader has simply gone.
func Lost(err error, program string, stderr io.Writer) int {
	if errors.Is(err, syscall.EPIPE) {
		return CodeReaderGone
	}
	fmt.Fprintf(stderr, "%s: the result could not be written: %v\n", program, err)
	return CodeLost
}

// unfinished returns how many bytes at the end of text begin a character that may
// go on.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if c := text[len(text)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

func safeLines(text []byte) []byte {
	if printableLines(text) {
		return text
	}
	safe := make([]byte, 0, len(text)+8)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r != '\n' && unsafe(r) {
			r = utf8.RuneError
		}
		safe = utf8.AppendRune(safe, r)
		text = text[size:]
	}
	return safe
}
