package journal

import (
	"errors"
	"io"
	"os"
	"syscall"

	"startup-bundle/internal/files"
)

// MaxFile is the size at which a log is moved aside, in bytes. One older file is
// kept, so that a log takes twice this at most: at every boot of a long life, and
// also when one run prints without end.
const MaxFile = 32 << 20

// oldSuffix names the older file of a log.
const oldSuffix = ".1"

// Older returns the path of the older file of a log, which need not be there.
func Older(path string) string { return path + oldSuffix }

// file is a log file that moves itself aside when it is full. Writes come one at
// a time.
type file struct {
	path  string
	limit int64
	*os.File
	size int64
}

// open opens the file here and not through zap, which would make it readable
// for all.
func (l *file) open() error {
	f, err := files.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if old := l.File; old != nil {
		_ = old.Close()
	}
	l.File, l.size = f, info.Size()
	return nil
}

// Write writes one entry. It is never split over two files.
func (l *file) Write(entry []byte) (int, error) {
	if l.size > 0 && l.size+int64(len(entry)) > l.limit {
		l.rotate()
	}
	if l.File == nil { // it could not be opened: see Open
		return len(entry), nil
	}
	n, err := l.File.Write(entry)
	l.size += int64(n)
	return n, err
}

// rotate moves the file aside and begins a new one. Where that fails, the log
// goes on in the file that is open: too long a log is better than none.
func (l *file) rotate() {
	err := os.Rename(l.path, l.path+oldSuffix)
	if err == nil {
		err = l.open()
	}
	if err != nil {
		l.size = 0 // not again for each entry
	}
}

// Size returns how long a log is, in bytes; 0 if there is none.
func Size(path string) (int64, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Bound empties a log that others append to, once it is longer than limit bytes;
// an older file beside it then keeps its last limit bytes. It stays the same
// file, so a process that has it open (O_APPEND) goes on writing there. It
// returns the log's size now; no log has none.
func Bound(path string, limit int64) (size int64, err error) {
	from, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() || info.Size() <= limit {
		return info.Size(), nil
	}
	if err := keep(io.NewSectionReader(from, info.Size()-limit, limit), path+oldSuffix); err != nil {
		return info.Size(), err
	}
	return 0, from.Truncate(0)
}

// keep replaces the file at path.
func keep(r io.Reader, path string) error {
	part := path + ".new"
	to, err := files.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, r)
	if err = errors.Join(err, to.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}
