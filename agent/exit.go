package agent

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"startup-bundle/agent/fetch"
	"startup-bundle/internal/bundle"
)

// Code is an exit code of the agent. The table in docs/operations.md and the
// help of "startup-agent run" repeat them.
type Code int

// The exit codes of run. Status repeats the recorded run's, and has two of its own.
const (
	CodeDone        Code = 0
	CodeOther       Code = 1
	CodeUsage       Code = 2
	CodeRunning     Code = 3 // status only
	CodeNoRecord    Code = 4 // status only
	CodeUserdata    Code = 10
	CodeKey         Code = 11
	CodeFetch       Code = 12
	CodeOpen        Code = 13
	CodeUnpack      Code = 14
	CodeModule      Code = 15
	CodeRecord      Code = 16
	CodeDeadline    Code = 17
	CodeInterrupted Code = 130
)

// The phases of a run, in their order.
const (
	PhaseUserdata = "userdata"
	PhaseKey      = "key"
	PhaseBundle   = "bundle"
	PhaseModules  = "modules"
	PhaseReport   = "report"
)

// failure is an error with the exit code it leads to.
type failure struct {
	code Code
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code Code, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// codeOf says which exit code an error leads to. What ended the context comes
// first: everything fails when that ends.
func codeOf(ctx context.Context, err error) Code {
	var f *failure
	var fetching *fetch.Error
	var errno syscall.Errno
	switch cause := context.Cause(ctx); {
	case err == nil:
		return CodeDone
	case errors.As(err, &f) && f.code == CodeRecord:
		return CodeRecord
	case errors.Is(err, errReboot):
		return CodeInterrupted
	case errors.Is(cause, errDeadline):
		return CodeDeadline
	case cause != nil:
		return CodeInterrupted
	case f != nil:
		return f.code
	case errors.As(err, &fetching) && fetching.Kind == fetch.Digest:
		return CodeOpen
	case fetching != nil:
		return CodeFetch
	case errors.Is(err, bundle.ErrSpace):
		return CodeRecord
	case errors.Is(err, bundle.ErrUnsafe):
		return CodeUnpack
	case errors.Is(err, bundle.ErrKey), errors.Is(err, bundle.ErrDamaged), errors.Is(err, bundle.ErrFormat):
		return CodeOpen
	case errors.As(err, &errno): // of this machine's files: what a bundle can cause has an error of its own
		return CodeRecord
	}
	return CodeOther
}
