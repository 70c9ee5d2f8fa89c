package proving

import (
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// listenIn listens in the network namespace of another process. The listener
// stays there; what this program dials does not.
func listenIn(pid int, address string) (net.Listener, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	type answer struct {
		listener net.Listener
		err      error
	}
	answers := make(chan answer)
	go func() {
		// never unlocked: the thread, which is in the wrong namespace, ends with
		// this goroutine
		runtime.LockOSThread()
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			answers <- answer{nil, err}
			return
		}
		l, err := net.Listen("tcp", address)
		answers <- answer{l, err}
	}()
	a := <-answers
	return a.listener, a.err
}
