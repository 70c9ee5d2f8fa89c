package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"startup-bundle/agent/record"
)

const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// Alive reports whether an agent runs below the root: whether the lock is held.
// Who may not open that is told by the process that r names, if it names one.
func Alive(p Paths, r *record.Run) bool {
	f, err := os.Open(p.Lock())
	switch {
	case err == nil:
		defer f.Close()
		return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
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
	if err := os.MkdirAll(a.Paths.State(), 0o700); err != nil {
		return nil, fail(CodeRecord, "make state folder: %w: the agent needs to run as root, and a disk it can write to", err)
	}
	f, err := os.OpenFile(a.Paths.Lock(), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fail(CodeRecord, "take lock: %w: the agent needs to run as root, and a disk it can write to", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for range lockTries { // Alive holds it for a moment
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		<-time.After(lockPause)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fail(CodeOther, "%w: another agent is running: see startup-agent status", errRefused)
		}
		return nil, fail(CodeRecord, "take lock: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// save writes the record, and its public copy for those who may not read it.
// Only the first must succeed: /run is rebuilt at each boot.
func (a *Agent) save() error {
	if err := record.Save(a.Paths.Record(), a.run); err != nil {
		return &failure{CodeRecord, fmt.Errorf("%w: see that the disk has room and is not read-only", err)}
	}
	a.publish(a.run)
	return nil
}
