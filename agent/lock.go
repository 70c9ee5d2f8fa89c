package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"startup-bundle/agent/record"
)

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
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
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
