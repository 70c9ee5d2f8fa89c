// Package files opens, replaces and judges single files: without hanging on what is
// not a regular file, without leaving half of one behind, and without trusting one
// that others could have written.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular means that a FIFO, a device, a socket or a folder stands where a
// regular file should.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge means that a file is longer than the caller's limit.
var ErrTooLarge = errors.New("too large")

// Open opens a regular file for reading. Anything else is refused at once with
// ErrNotRegular: to open a FIFO would wait for its writer. A link is followed.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile for a regular file only, which may be made.
func OpenFile(path string, flags int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, perm)
	switch {
	case errors.Is(err, syscall.ENXIO): // a FIFO without a reader, a socket
		return nil, notRegular(path, fs.ModeNamedPipe)
	case errors.Is(err, syscall.EISDIR):
		return nil, notRegular(path, fs.ModeDir)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path, info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func notRegular(path string, mode fs.FileMode) error {
	what := "a special file"
	switch {
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO or socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return fmt.Errorf("%s is %s, %w", path, what, ErrNotRegular)
}

// Read returns a regular file's content. ErrTooLarge: it is longer than limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes, %w", path, limit, ErrTooLarge)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
