package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Inside is the sandbox's first process, which sets it up, starts the program,
// and passes on that it is to stop. It returns an exit code, which says nothing:
// what there is to say goes into the pipe.
func Inside() int {
	unix.CloseOnExec(controlFD)
	unix.CloseOnExec(reportFD)
	control, reports := os.NewFile(controlFD, "control"), os.NewFile(reportFD, "reports")
	if control == nil || reports == nil {
		return 1
	}
	say := func(r report) error { return json.NewEncoder(reports).Encode(r) }
	// the program may signal its first process: "kill 1" must not end it
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE)
	var o order
	decoder := json.NewDecoder(control)
	if err := decoder.Decode(&o); err != nil {
		_ = say(report{Error: err.Error()})
		return 1
	}
	// a way to the scratch folder after the machine's own files are out of sight
	parent, err := os.OpenRoot(filepath.Dir(o.Scratch))
	if err != nil {
		_ = say(report{Error: err.Error()})
		return 1
	}
	// on another thread than this one, which Landlock is about to restrict
	abandon := func() {
		done := make(chan struct{})
		go func() {
			_ = remove(parent, filepath.Base(o.Scratch))
			close(done)
		}()
		<-done
	}
	runtime.LockOSThread() // Landlock and the signal of a parent's death are a thread's
	v, err := o.enter()
	if err != nil {
		_ = say(report{Error: err.Error()})
		return 1
	}
	_ = say(report{})
	rest := bufferedBytes(decoder, control)
	if one, err := rest(); err != nil || one != byteGo {
		abandon()
		return 1
	}
	status, orphaned, err := o.supervise(rest)
	if orphaned {
		if o.Kind != Landlock {
			_ = unix.Kill(-1, unix.SIGKILL) // all in this namespace: they could still be writing there
		}
		abandon()
		return 1
	}
	if err != nil {
		_ = say(report{Error: err.Error()})
		return 1
	}
	last := report{Outcome: outcome(status)}
	if v != nil {
		last.Outcome.Changed, last.Outcome.ReadOnly = v.changed(), v.readOnly
	}
	if say(last) != nil { // the caller has just died
		abandon()
	}
	return 0
}

// bufferedBytes returns a function that reads single bytes after what the decoder
// has taken, without the line's end.
func bufferedBytes(decoder *json.Decoder, file io.Reader) func() (byte, error) {
	r := io.MultiReader(decoder.Buffered(), file)
	return func() (byte, error) {
		one := []byte{'\n'}
		for one[0] == '\n' {
			if _, err := io.ReadFull(r, one); err != nil {
				return 0, err
			}
		}
		return one[0], nil
	}
}

// enter makes this process, or what it starts, unable to change the machine. The
// view is nil for Landlock.
func (o order) enter() (*view, error) {
	if o.Kind == Landlock {
		return nil, restrict(o.Root)
	}
	return makeView(o)
}

// supervise runs the program, and stops it when it is told to, or when the caller
// dies: it is orphaned then.
func (o order) supervise(rest func() (byte, error)) (status syscall.WaitStatus, orphaned bool, err error) {
	c := exec.Command(o.Program, o.Args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if o.Kind != Landlock {
		c.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWUTS
		if err := sameIDs(c.SysProcAttr); err != nil {
			return 0, false, err
		}
	}
	if err := c.Start(); err != nil {
		return 0, false, fmt.Errorf("run %s: %w", o.Program, err)
	}
	var orphan atomic.Bool
	read := func() {
		if _, err := rest(); err != nil {
			orphan.Store(true)
		}
	}
	go func() {
		read()
		_ = unix.Kill(c.Process.Pid, unix.SIGTERM)
		time.AfterFunc(patience, func() { _ = unix.Kill(c.Process.Pid, unix.SIGKILL) })
		if !orphan.Load() {
			read()
		}
	}()
	for { // not c.Wait: this process inherits orphans, and they are waited for too
		pid, err := unix.Wait4(-1, (*unix.WaitStatus)(&status), 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, false, fmt.Errorf("wait for %s: %w", o.Program, err)
		case pid == c.Process.Pid:
			return status, orphan.Load(), nil
		}
	}
}
