package runner

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// groupPoll is how often a group that is being stopped is looked at.
	groupPoll = 20 * time.Millisecond
	// killWait bounds the wait after SIGKILL: a process that hangs in the
	// kernel, on a dead disk or network mount, must not hang the agent.
	killWait = 2 * time.Second
)

// process is a started script. Its cmd may be read once done is closed.
type process struct {
	cmd   *exec.Cmd
	group group
}

func startProcess(s Script, output *os.File) (*process, error) {
	cmd := &exec.Cmd{
		Path:   s.Path,
		Args:   append([]string{s.Path}, s.Args...),
		Dir:    s.Dir,
		Env:    append([]string{}, s.Env...), // nil would inherit the agent's
		Stdout: output,
		Stderr: output,
		// A session, not only a group: see the package comment.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, err //nolint:wrapcheck // diagnose turns it into words
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // what it says is in cmd.ProcessState
	}()
	return &process{cmd: cmd, group: processGroup(cmd.Process.Pid, done)}, nil
}

// await waits for the script's end, bringing it about when it is due.
func (p *process) await(ctx context.Context, s Script) Result {
	deadline := time.NewTimer(s.Timeout)
	defer deadline.Stop()
	res := Result{Outcome: Exited, ExitCode: -1}
	select {
	case <-p.group.leaderDone:
	case <-deadline.C:
		res.Outcome = TimedOut
	case <-ctx.Done():
		res.Outcome = Interrupted
	}
	ended := isClosed(p.group.leaderDone)
	switch {
	case ended:
		res.Outcome = Exited // even if the deadline fell on the same moment
	case res.Outcome == TimedOut:
		p.group.stop(s.grace())
	case res.Outcome == Interrupted:
		p.group.stop(min(s.grace(), InterruptGrace))
	}
	res.Leftovers = p.group.alive()
	if isClosed(p.group.leaderDone) {
		res.status(p.cmd.ProcessState)
	}
	return res
}

func (r *Result) status(state *os.ProcessState) {
	if state == nil {
		return
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
	case status.Signaled():
		r.Signal = signalName(status.Signal())
		if r.Outcome == Exited {
			r.Outcome = Signaled
		}
	case status.Exited():
		r.ExitCode = status.ExitStatus()
	}
}

// group is a process group whose leader is our child. The functions are fields
// for the sake of tests that have no process.
type group struct {
	leaderDone <-chan struct{} // closed when the leader was reaped
	signal     func(syscall.Signal)
	alive      func() bool // any member but zombies
}

func processGroup(pgid int, done <-chan struct{}) group {
	return group{
		leaderDone: done,
		// An error means that nobody is left.
		signal: func(sig syscall.Signal) { _ = unix.Kill(-pgid, sig) },
		alive:  func() bool { return groupAlive(pgid) },
	}
}

// stop ends the whole group: SIGTERM, SIGKILL after grace to whoever is left.
// It returns when nobody is, or killWait after the SIGKILL.
func (g group) stop(grace time.Duration) {
	g.signal(unix.SIGTERM)
	g.signal(unix.SIGCONT) // a stopped process does not see a SIGTERM
	if g.gone(grace) {
		return
	}
	g.signal(unix.SIGKILL)
	g.gone(killWait)
}

// gone waits until the leader was reaped and no member lives, at most limit.
func (g group) gone(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-g.leaderDone:
	case <-timer.C:
		return false
	}
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for g.alive() {
		select {
		case <-tick.C:
		case <-timer.C:
			return false
		}
	}
	return true
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
