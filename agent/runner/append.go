package runner

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openAppend opens a script's log once more, for the script. It is write-only, so a
// program that the script runs as another user cannot read what was printed before.
// Nor can it empty the log: O_APPEND does not prevent ftruncate(2), but Landlock does.
// A file that is opened by a thread without the right to truncate keeps that
// restriction in whatever process it is passed to
// (Documentation/userspace-api/landlock.rst, "Truncating files"). Kernels before 6.2
// lack that right, and their scripts can empty their own log.
//
// log is the agent's own descriptor of the same file.
func openAppend(path string, log *os.File) (file *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread ends with this goroutine, and its restriction
		// with it.
		runtime.LockOSThread()
		forbidTruncate()
		file, err = openRegular(path, unix.O_WRONLY|unix.O_APPEND)
	}()
	<-done
	if err != nil {
		return nil, err
	}
	ours, err := log.Stat()
	if err == nil {
		var theirs os.FileInfo
		if theirs, err = file.Stat(); err == nil && !os.SameFile(ours, theirs) {
			err = refusal(path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// forbidTruncate takes the right to truncate files from the calling thread, if the
// kernel can do that.
func forbidTruncate() {
	access := uint64(unix.LANDLOCK_ACCESS_FS_TRUNCATE)                                                                             // struct landlock_ruleset_attr as of its first version
	rules, _, failed := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&access)), unsafe.Sizeof(access), 0) //nolint:gosec // what the kernel reads
	if failed != 0 {
		return
	}
	defer func() { _ = unix.Close(int(rules)) }()
	if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil {
		_, _, _ = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
	}
}
