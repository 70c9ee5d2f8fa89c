package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/agent/record"
	"startup-bundle/agent/screen"
)

// How often a run that is waited for is looked at.
const (
	liveEvery  = 500 * time.Millisecond
	plainEvery = time.Second
)

func (p *program) statusCommand() *cobra.Command {
	var asJSON, wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Say what became of the last run, and what to do",
		Long: `Status tells how far the last run came, and what to do. Its exit code is the
run's own (see startup-agent run --help), or 3 while it runs, or 4 when none is
recorded. A run that was killed, or that the machine went down under, counts as
interrupted: 130.

It fits the terminal's width, in colours unless NO_COLOR is set. Into a pipe or a
file it writes each line that a module printed whole, on one line.

With --wait it returns when this boot's run has ended. On a terminal it shows
the run meanwhile; elsewhere it says on stderr what has changed. Where the
timeout passes first, the code is 3, or 4 when the agent has not started.`,
		RunE: func(c *cobra.Command, _ []string) error {
			v := screen.Look(p.root, time.Now())
			if wait && !v.Ended() {
				v = p.wait(c.Context(), v, timeout, asJSON)
			}
			p.code = v.Code()
			if asJSON {
				return p.printJSON(v.Result())
			}
			return v.Print(p.stdout.Raw(), style(p.stdout))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the record as JSON, as docs/operations.md describes it")
	c.Flags().BoolVar(&wait, "wait", false, "wait until the run has ended")
	c.Flags().DurationVar(&timeout, "timeout", 0, "wait no longer than this; 0: without end")
	return c
}

// wait looks again and again until the run has ended.
func (p *program) wait(ctx context.Context, v screen.View, timeout time.Duration, asJSON bool) screen.View {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	every, show := plainEvery, p.sayChanges()
	if out, ok := onTerminal(p.stdout); ok && !asJSON {
		every, show = liveEvery, redraw(out)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		show(v)
		select {
		case <-ctx.Done():
			show(screen.View{})
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				fmt.Fprintf(p.stderr, "startup-agent: not ended after %v\n", timeout)
			}
			if !v.Reported && v.Run != nil && v.Run.State != record.Running {
				v.Run = nil // of a boot before
			}
			return v
		case <-tick.C:
		}
		if v = screen.Look(p.root, time.Now()); v.Ended() {
			show(screen.View{})
			return v
		}
	}
}

// sayChanges says in a line where a run is, each time that has changed.
func (p *program) sayChanges() func(screen.View) {
	said := ""
	return func(v screen.View) {
		if v.Now.IsZero() {
			return
		}
		line := v.Line()
		if !v.Reported {
			line = "the agent has not started since the machine has: waiting for it"
		}
		if line != said {
			fmt.Fprintln(p.stderr, line)
			said = line
		}
	}
}

// redraw draws a screen over the one before. The zero view removes it.
func redraw(out terminalFile) func(screen.View) {
	lines := 0
	return func(v screen.View) {
		var b bytes.Buffer
		if lines > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", lines)
		}
		lines = 0
		if !v.Now.IsZero() {
			var text bytes.Buffer
			_ = v.Print(&text, screen.Style{Width: out.width()})
			shown := out.fit(text.Bytes())
			lines = bytes.Count(shown, []byte("\n"))
			b.Write(shown)
		}
		_, _ = out.Write(b.Bytes())
	}
}
