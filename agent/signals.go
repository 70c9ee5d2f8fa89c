package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Causes of the run's context.
var (
	errDeadline    = errors.New("the run's timeout passed")
	errInterrupted = errors.New("interrupted by a signal")
	errShutdown    = fmt.Errorf("%w", errInterrupted) // SIGTERM, which a person at a keyboard does not send
)

// Outlive makes the program outlive the terminal that it was started from, or
// whoever reads what it prints: a hangup is ignored, and a write to nobody is an
// error like any other. Scripts get both signals as usual.
//
// signal.Ignore would not do: a script would inherit that.
func Outlive() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE) }

// untilSignal returns a context that ends, with its cause, at the first SIGINT,
// SIGQUIT or SIGTERM, or one of more. A second one ends the program at once.
func untilSignal(ctx context.Context, more ...os.Signal) (context.Context, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, append(more, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)...)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case s := <-signals:
			cause := errInterrupted
			if s == syscall.SIGTERM {
				cause = errShutdown
			}
			cancel(cause)
			signal.Stop(signals)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}
