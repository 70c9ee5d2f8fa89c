// Package runner runs one script: in its own process group, up to a deadline,
// with its output in a file.
//
// The script's stdout and stderr are the log file itself, opened for append and not
// for reading, never a pipe. So a script is never slowed by its reader, a daemon that it
// leaves behind neither blocks the agent nor dies of SIGPIPE with it, and an
// agent that is killed loses no output. The agent follows that file for the
// lines it logs; where a script writes faster than anyone can read, lines are
// left out of the agent's log, never out of the file.
//
// A script leads a session of its own, hence a process group of its own and no
// terminal that it could stop to read from. A deadline or a cancelled context
// ends the whole group; a script that ends by itself leaves its group alone.
//
// It is not put into a systemd scope. A daemon that a script leaves behind is
// wanted, so nothing would be killed by the scope that the group misses but a
// process that detached itself on purpose. The agent's unit keeps daemons alive
// by KillMode=process; a scope would add a D-Bus call that can fail or hang at
// boot, and a second behaviour where systemd does not run.
package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultGrace is what a script has between SIGTERM and SIGKILL.
const DefaultGrace = 10 * time.Second

// InterruptGrace replaces a longer grace when the context is cancelled: at a
// shutdown the caller must still have time to record what happened.
const InterruptGrace = 5 * time.Second

// TailLines is the number of lines in Result.Tail.
const TailLines = 20

// Script is one program to run.
type Script struct {
	// Path is the program: absolute, or relative to Dir. PATH is not searched.
	Path string
	// Args are its arguments, without its own name.
	Args []string
	// Dir is the working folder, absolute.
	Dir string
	// Env is the whole environment as KEY=value; nothing is inherited.
	Env []string
	// Log is the file that stdout and stderr are appended to, created 0640.
	// Its folder exists. A link, or anything but a regular file, is refused.
	Log string
	// Timeout runs from the start to the group's SIGTERM. Above zero.
	Timeout time.Duration
	// Beside: another run of this script may go on at the same time. Else one that
	// a killed agent left is stopped first.
	Beside bool
	// Grace runs from SIGTERM to SIGKILL; zero means DefaultGrace.
	Grace time.Duration
}

// Outcome says how a run ended.
type Outcome string

// The outcomes of a run.
const (
	// Exited: by itself, with Result.ExitCode.
	Exited Outcome = "exited"
	// Signaled: killed by Result.Signal, which the agent did not send.
	Signaled Outcome = "signaled"
	// TimedOut: stopped by the agent after Script.Timeout.
	TimedOut Outcome = "timed-out"
	// Interrupted: the context was cancelled; context.Cause says why.
	Interrupted Outcome = "interrupted"
	// Missing: there is no such file. Nothing ran.
	Missing Outcome = "missing"
	// NotExecutable: the file is there, but is no program. Nothing ran.
	NotExecutable Outcome = "not-executable"
	// NoInterpreter: the program that its #! line names is not there.
	NoInterpreter Outcome = "no-interpreter"
	// NotStarted: the kernel refused for another reason. Nothing ran.
	NotStarted Outcome = "not-started"
)

// Result is what is known of a run.
type Result struct {
	Outcome Outcome
	// ExitCode is -1 unless the script itself ended by exit, which it may
	// also do after a SIGTERM (TimedOut, Interrupted).
	ExitCode int
	// Signal is the name of the signal that ended the script (SIGKILL), or "".
	Signal string
	// Reason is a sentence for people that says what went wrong and what to
	// do; "" after exit status 0. It quotes no output and no environment.
	Reason   string
	Duration time.Duration
	// Tail is the end of this run's output as [Clean] lines, at most
	// TailLines of them.
	Tail []string
	// Leftovers: processes of the group were alive after the script ended.
	Leftovers bool
	// OutputBytes is what this run added to the log file.
	OutputBytes int64
	// OmittedBytes is how much of it was never passed to Runner.Line.
	OmittedBytes int64
	// LogFull: the log's filesystem had no room when the script ended, so
	// output may be missing, and the script's own writes may have failed.
	LogFull bool
}

// Runner runs scripts and tells what they print. The zero value tells nobody.
// Its functions are called one at a time and never after Run has returned; a
// slow one delays neither the script nor, by more than one call, its end.
type Runner struct {
	// Line gets each line of output, as [Clean] makes it, soon after it was
	// written; lines longer than MaxLine come in pieces, empty ones not at
	// all. Above the rate limits lines are left out, and a line in brackets
	// says how many bytes.
	Line func(line string)
	// Silent is called once a minute while the script runs and prints
	// nothing, with the time since its last output.
	Silent func(quiet time.Duration)
	// Secrets hides what neither Line nor Result.Tail may show; nil hides nothing.
	Secrets Secrets
}

// Secrets knows the secrets of a script. It gets raw output, because [Clean] changes
// what it knows them by.
type Secrets interface {
	// Bytes returns text without them.
	Bytes(text []byte) []byte
	// Cut returns where to cut text, if not at an offset, so that none is cut in
	// two; 0 if one may go on after text.
	Cut(text []byte, at int) int
}

// clean is [Clean] for output that may hold secrets.
func (r Runner) clean(line []byte) string {
	if r.Secrets != nil {
		line = r.Secrets.Bytes(line)
	}
	return Clean(line)
}

// Run runs the script to its end, or to its deadline, or until ctx is
// cancelled. A run of the same script that a killed agent left unfinished is
// stopped first. The error is about the agent's own part: the log file cannot
// be opened, or the Script makes no sense. How the script fared is in the Result.
func (r Runner) Run(ctx context.Context, s Script) (Result, error) {
	if err := s.check(); err != nil {
		return Result{}, err
	}
	log, made, err := openLog(s.Log)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = log.Close() }()
	if ctx.Err() != nil {
		return Result{Outcome: Interrupted, ExitCode: -1, Reason: "the run was interrupted before it started"}, nil
	}

	if !made && !s.Beside && stopOrphans(s, log, min(s.grace(), InterruptGrace)) > 0 && r.Line != nil {
		r.Line("[an earlier run of this script, whose agent was killed, still went on and was stopped]")
	}
	start, err := size(log)
	if err != nil {
		return Result{}, err
	}

	output, err := openAppend(s.Log, log)
	if err != nil {
		return Result{}, fmt.Errorf("open the script's log: %w", err)
	}
	began := time.Now()
	p, err := startProcess(s, output)
	_ = output.Close()
	if err != nil {
		res := Result{ExitCode: -1}
		res.Outcome, res.Reason = diagnose(s, err)
		return res, nil
	}
	f := newFollower(log, start, r)
	stop, followed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(followed)
		f.run(stop)
	}()
	res := p.await(ctx, s)
	res.Duration = time.Since(began)
	close(stop)
	<-followed

	res.OutputBytes, res.OmittedBytes = f.size-f.start, f.omitted
	res.Tail = tail(log, f.start, f.size, TailLines, r.clean)
	res.LogFull = full(log)
	res.explain(s)
	return res, nil
}

func (s Script) check() error {
	switch {
	case s.Path == "":
		return errors.New("run script: no path is given")
	case !filepath.IsAbs(s.Dir):
		return fmt.Errorf("run %s: the working folder %q is not absolute", s.Path, s.Dir)
	case s.Timeout <= 0:
		return fmt.Errorf("run %s: the timeout is %v: give one above zero", s.Path, s.Timeout)
	case s.Grace < 0:
		return fmt.Errorf("run %s: the grace is %v: give none, or one above zero", s.Path, s.Grace)
	}
	return nil
}

func (s Script) grace() time.Duration {
	if s.Grace == 0 {
		return DefaultGrace
	}
	return s.Grace
}

// explain fills in the reason, and corrects the outcome where env(1) could not
// find the interpreter and could only say so by its exit status.
func (r *Result) explain(s Script) {
	switch {
	case r.Outcome == TimedOut:
		r.Reason = fmt.Sprintf("it ran longer than its timeout of %v and was stopped: raise the timeout, or see its log for what it waited for", s.Timeout)
	case r.Outcome == Interrupted:
		r.Reason = "the run was interrupted and it was stopped"
	case r.Outcome == Signaled && r.Signal == "SIGKILL":
		r.Reason = "it was killed by SIGKILL: the kernel does this when memory runs out, dmesg says whether it did"
	case r.Outcome == Signaled:
		r.Reason = "it was killed by " + r.Signal + ": see its log"
	case r.ExitCode == exitNotFound:
		if reason := envInterpreter(s); reason != "" {
			r.Outcome, r.Reason = NoInterpreter, reason
			return
		}
		fallthrough
	case r.ExitCode != 0:
		r.Reason = fmt.Sprintf("it exited with status %d: see its log", r.ExitCode)
	}
	if r.Reason != "" && r.LogFull {
		r.Reason += "; the disk that holds its log is full: free some space"
	}
}

// exitNotFound is what env(1) and shells exit with for a command not found.
const exitNotFound = 127

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
