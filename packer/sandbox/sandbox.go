// Package sandbox runs a program so that its accidents do not reach this
// machine: it may install packages, add users and set the host name, and all of
// that is gone afterwards. The network is shared, and so is everything the caller
// may read. It is no defence against a program that wants to do harm.
//
// There are three kinds, and [Run] takes the first that works here. A copy and a
// read-only view are made of Linux namespaces, in two layers: the outer one holds
// the mounts, and the program runs in an inner one, in which these mounts are
// locked and cannot be removed or made writable (user_namespaces(7) and
// mount_namespaces(7)).
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Command is the first argument with which this program starts itself as the
// sandbox's first process. Main calls [Inside] when it sees it.
const Command = "sandbox-inside"

// Kind says how a machine is protected.
type Kind string

// The kinds, the most useful first.
const (
	Copy     Kind = "copy"      // writes go to an overlay that is thrown away
	ReadOnly Kind = "read-only" // writes outside the program's own folder and /tmp are refused
	Landlock Kind = "landlock"  // likewise, without namespaces; for normal users only
)

// patience is how long a program that was asked to stop may take.
const patience = 30 * time.Second

// Options say what to run.
type Options struct {
	Program string // an absolute path
	Args    []string
	Env     []string
	Root    string // an existing folder, absolute and without links, whose content is real inside too
	Scratch string // an empty one for the sandbox's own files. If the caller is killed, the sandbox removes it.
	Kinds   []Kind // to be tried in order; nil: all that protect this user

	// Begin is called once it is known which kind it is, before the program starts.
	Begin          func(Kind)
	Stdout, Stderr io.Writer

	refuse func(Kind) error // in tests: why a kind does not work
}

// Outcome says how the program ended and what became of its changes.
type Outcome struct {
	Code     int      // the exit code
	Killed   string   // the signal that killed the program; empty: it exited
	Changed  []string // in a copy: paths that were written, sorted; a new folder ends in a slash and stands for its content
	ReadOnly []string // in a copy: folders that could only be made read-only
}

// An UnprotectedError says that no kind of sandbox works here. Its cause is why the
// most useful one does not.
type UnprotectedError struct{ Cause error }

func (e *UnprotectedError) Error() string {
	return fmt.Sprintf("this machine cannot be protected from what the modules do: %v\n"+
		"rehearse in a container or a virtual machine that may be thrown away, and there with --here", e.Cause)
}

func (e *UnprotectedError) Unwrap() error { return e.Cause }

// Here runs the program without any protection. When ctx ends, the program is
// asked to stop.
func Here(ctx context.Context, o Options) (Outcome, error) {
	c := exec.CommandContext(ctx, o.Program, o.Args...)
	c.Env, c.Stdout, c.Stderr = o.Env, o.Stdout, o.Stderr
	// a terminal's Ctrl-C is for this program, which passes it on once: a second
	// signal would end the agent before it has recorded anything
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = patience
	if err := c.Run(); c.ProcessState == nil {
		return Outcome{}, fmt.Errorf("run %s: %w", o.Program, err)
	}
	status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	return outcome(status), nil
}

func outcome(status syscall.WaitStatus) Outcome {
	if status.Signaled() {
		return Outcome{Killed: status.Signal().String()}
	}
	return Outcome{Code: status.ExitStatus()}
}

// WithoutCredentials returns env without the variables that give the AWS tools
// their account.
func WithoutCredentials(env []string) []string {
	var kept []string
	for _, one := range env {
		if !strings.HasPrefix(one, "AWS_") {
			kept = append(kept, one)
		}
	}
	return kept
}

// Remove removes a folder and all in it, including folders that their owner may
// not enter, such as those that overlays leave behind.
func Remove(path string) error {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	return remove(parent, filepath.Base(path))
}

func remove(parent *os.Root, name string) error {
	err := parent.RemoveAll(name)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = fs.WalkDir(parent.FS(), name, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = parent.Chmod(path, 0o700) // before its entries are read
		}
		return nil
	})
	return parent.RemoveAll(name)
}
