package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/internal/files"
)

// Two locks are on the lock file, because a process that dies leaves two kinds
// of things behind.
//
// The first is a record lock (fcntl(2), F_SETLK). It belongs to the process, so
// the kernel releases it when the agent dies, whatever its children do. It also
// goes when the process closes any descriptor of the file: an agent that holds
// it must not open the lock file again.
//
// The second is a flock(2). It belongs to the open file, which a child shares
// from fork to execve. So where the first lock is free and the second is not, a
// child of a dead agent is about to become a script, and has to go first.

const (
	// forkPatience is how long such a child has for its execve.
	forkPatience = time.Second
	forkPoll     = 5 * time.Millisecond
)

// Alive reports whether an agent runs below the root: whether the lock is held.
// A caller that cannot open the lock file looks at the process that r names.
func Alive(p Paths, r *record.Run) bool {
	f, err := files.Open(p.Lock())
	switch {
	case err == nil:
		defer f.Close()
		found := unix.Flock_t{Type: unix.F_RDLCK}
		err = unix.FcntlFlock(f.Fd(), unix.F_GETLK, &found)
		return err == nil && found.Type != unix.F_UNLCK
	case errors.Is(err, fs.ErrNotExist) || r == nil:
		return false
	case r.PID == 0:
		return r.State == record.Running
	}
	return r.BootID == bootID() && !errors.Is(syscall.Kill(r.PID, 0), syscall.ESRCH)
}

// lock makes the state folder and takes the lock in it, which the kernel
// releases when the process ends, however it ends.
func (a *Agent) lock() (unlock func(), err error) {
	if err := a.Paths.trust().Check(a.Paths.State()); err != nil {
		return nil, &failure{CodeRecord, err}
	}
	if err := os.MkdirAll(a.Paths.State(), 0o700); err != nil {
		return nil, fail(CodeRecord, "make state folder: %w: the agent needs to run as root, and a disk it can write to", err)
	}
	f, err := os.OpenFile(a.Paths.Lock(), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fail(CodeRecord, "take lock: %w: the agent needs to run as root, and a disk it can write to", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if err == nil {
		err = outwaitForked(f)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, fail(CodeOther, "%w: another agent is running: see startup-agent status", errRefused)
		}
		return nil, fail(CodeRecord, "take lock: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// outwaitForked takes the flock. A child of a dead agent that has it loses it at
// its execve; one that does not get there in time is killed, which loses nothing:
// it has not started its script.
func outwaitForked(f *os.File) error {
	err := flock(f)
	if !errors.Is(err, syscall.EWOULDBLOCK) || runner.KillForked(f) == 0 {
		return err
	}
	if err = flock(f); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil // it hangs in the kernel, and dies before it is out of there
	}
	return err
}

// flock takes the flock, within forkPatience.
func flock(f *os.File) error {
	for waited := time.Duration(0); ; waited += forkPoll {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || waited >= forkPatience {
			return err //nolint:wrapcheck // the caller says what it was for
		}
		<-time.After(forkPoll)
	}
}

// save writes the record, and its public copy for those who may not read it.
// Only the first must succeed: /run is rebuilt at each boot.
func (a *Agent) save() error {
	if err := record.Save(a.Paths.Record(), a.run); err != nil {
		if errors.Is(err, syscall.EROFS) {
			err = fmt.Errorf("%w: mount it writable", err)
		}
		return &failure{CodeRecord, files.Room(err, a.Paths.State())}
	}
	a.publish(a.run)
	return nil
}
