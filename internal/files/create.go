package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File is a new file that has its name only once it is whole: see Create.
type File struct {
	*os.File
	path string
	perm fs.FileMode
}

// Create begins a new file beside path, under a hidden name that nobody else may
// read. Commit or CommitNew give it its name and mode. Abandon removes it if neither
// did: a caller defers that. A device or FIFO at path is never replaced, and a link
// there is followed.
func Create(path string, perm fs.FileMode) (*File, error) {
	switch info, err := os.Stat(path); {
	case err == nil && !info.Mode().IsRegular():
		return nil, notRegular(path, info.Mode())
	case err == nil:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path, perm: perm}, nil
}

// Commit makes the file durable and gives it its name, in place of one that may be
// there.
func (f *File) Commit() error { return f.commit(os.Rename) }

// CommitNew is Commit for a file that must not be there yet: fs.ErrExist.
func (f *File) CommitNew() error {
	return f.commit(func(temporary, path string) error {
		// link(2) never replaces. Where the filesystem has no hard links, the name is
		// taken first, by a file that the rename then replaces.
		err := os.Link(temporary, path)
		if err == nil {
			return os.Remove(temporary)
		}
		if errors.Is(err, fs.ErrExist) {
			return exists(path)
		}
		taken, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(taken.Close(), os.Rename(temporary, path)); err != nil {
			return errors.Join(err, os.Remove(path))
		}
		return nil
	})
}

func (f *File) commit(name func(temporary, path string) error) error {
	err := errors.Join(f.Chmod(f.perm), f.Sync(), f.Close())
	if err == nil {
		err = name(f.Name(), f.path)
	}
	if err != nil {
		return err
	}
	f.File = nil
	if err := SyncDir(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsynced, err)
	}
	return nil
}

// ErrUnsynced means that a file is whole and has its name, and that a power cut may
// still take it away.
var ErrUnsynced = errors.New("the file may not survive a power cut")

// Abandon removes the file unless it has its name.
func (f *File) Abandon() {
	if f.File != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}

// WriteNew makes a file of text that must not be there yet: fs.ErrExist.
func WriteNew(path string, text []byte, perm fs.FileMode) error {
	if _, err := os.Lstat(path); err == nil {
		return exists(path)
	}
	return write(path, text, perm, (*File).CommitNew)
}

func exists(path string) error { return &fs.PathError{Op: "make", Path: path, Err: syscall.EEXIST} }

// Write makes a file of text, in place of one that may be there.
func Write(path string, text []byte, perm fs.FileMode) error {
	return write(path, text, perm, (*File).Commit)
}

func write(path string, text []byte, perm fs.FileMode, commit func(*File) error) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Abandon()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return commit(f)
}

// SyncDir makes renames and removals in a folder durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
