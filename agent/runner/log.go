package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const logMode = 0o640

// lowSpace is the room on the log's filesystem below which it counts as full:
// less than what one write of a script's output buffer may need.
const lowSpace = 64 << 10

// openLog opens a script's log for append and for reading. The agent writes as
// root, so a link, FIFO or device that somebody put there is refused, and so is
// a second name of another file. It says whether the file was made here: nobody
// can have written to it before.
func openLog(path string) (file *os.File, made bool, err error) {
	const flags = unix.O_RDWR | unix.O_APPEND
	file, err = openRegular(path, flags|unix.O_CREAT|unix.O_EXCL)
	if made = err == nil; errors.Is(err, fs.ErrExist) {
		file, err = openRegular(path, flags|unix.O_CREAT)
	}
	if err != nil {
		return nil, false, fmt.Errorf("open the script's log: %w", err)
	}
	return file, made, nil
}

// Mark appends a line of the agent's own to a script's log.
func Mark(path, line string) error {
	file, _, err := openLog(path)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line + "\n")
	return errors.Join(err, file.Close())
}

func size(log *os.File) (int64, error) {
	info, err := log.Stat()
	if err != nil {
		return 0, fmt.Errorf("measure the script's log: %w", err)
	}
	return info.Size(), nil
}

// openRegular opens path if it is a regular file with one name and no link.
func openRegular(path string, flags int) (*os.File, error) {
	// O_NONBLOCK: opening a FIFO must not wait for its other end.
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, logMode)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return nil, refusal(path)
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1) {
		err = refusal(path)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// ErrUnsafeLog says that what stands in the log's place is a link or no regular file.
var ErrUnsafeLog = errors.New("it is a link or no regular file: find out who made it, then remove it")

func refusal(path string) error { return &fs.PathError{Op: "open", Path: path, Err: ErrUnsafeLog} }

// full reports whether the filesystem of file has no room left for this
// process: root may also use the reserved blocks.
func full(file *os.File) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &st); err != nil {
		return false
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 {
		blocks = st.Bfree
	}
	return st.Blocks > 0 && blocks*uint64(st.Bsize) < lowSpace
}
