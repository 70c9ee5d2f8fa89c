package cli

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
)

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Say what became of the last run, and what to do",
		Long: `Status tells how far the last run came. Its exit code is the run's own
(see startup-agent run --help), or 3 while it runs, or 4 when there is none.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := latest(agent.Paths{Root: p.root})
			if errors.Is(err, record.ErrNone) {
				p.code = agent.CodeNoRecord
				fmt.Fprintln(p.stdout, "no run is recorded: the agent has not started here yet")
				return nil
			}
			if err != nil {
				return p.failed(agent.CodeRecord, err)
			}
			p.code = agent.Code(r.ExitCode)
			if r.State == record.Running {
				p.code = agent.CodeRunning
			}
			if asJSON {
				return p.printJSON(r)
			}
			return r.Print(p.stdout)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the record as JSON")
	return c
}

// latest returns what is known of the last run: the record, where it may be
// read and is as new as the public copy, else that copy.
func latest(paths agent.Paths) (*record.Run, error) {
	public, publicErr := record.Load(paths.Status())
	r, err := record.Load(paths.Record())
	if errors.Is(err, fs.ErrPermission) {
		err = record.ErrNone // not this user's to read: the public copy is what there is
	}
	switch {
	case err == nil && (publicErr != nil || !public.StartedAt.After(r.StartedAt)):
		return r, nil
	case publicErr == nil:
		return public, nil
	}
	return nil, err
}
