package files

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// RoomError is an error for lack of room, with what to do about it.
type RoomError struct {
	Err    error
	Advice string
}

func (e *RoomError) Error() string { return e.Err.Error() + ": " + e.Advice }
func (e *RoomError) Unwrap() error { return e.Err }

// Room adds to an error for lack of room (ENOSPC, EDQUOT) what to do: a filesystem
// without inodes says the same as one without space. It looks at the filesystem of the
// path that the error names, else at that of dir. Other errors come back as they are,
// and so does one that has the advice already.
func Room(err error, dir string) error {
	var told *RoomError
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) || errors.As(err, &told) {
		return err
	}
	var at *fs.PathError
	if errors.As(err, &at) && filepath.IsAbs(at.Path) {
		dir = at.Path
	}
	dir, fsys, found := filesystem(dir)
	switch {
	case found && fsys.Files > 0 && fsys.Ffree == 0:
		return &RoomError{err, "no inodes are left at " + dir + ": remove files that nobody needs; df -i " + dir + " shows how many there are"}
	case found:
		return &RoomError{err, "free some space, or give the instance a larger disk, at " + dir + ": see df -h " + dir}
	}
	return &RoomError{err, "free some space, or give the instance a larger disk"}
}

// filesystem returns the nearest folder at or above path that is there, and what is
// known of its filesystem.
func filesystem(path string) (dir string, fsys unix.Statfs_t, found bool) {
	for dir = filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, fsys, unix.Statfs(dir, &fsys) == nil
		}
		if dir == filepath.Dir(dir) {
			return dir, fsys, false
		}
	}
}
