package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
)

func (p *program) checkCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:               "check [MODULE]",
		ValidArgsFunction: p.completeModule,
		Short:             "Run the modules' check scripts: does what they set up still work?",
		Long: `Check runs the check script of each module that was started here, or of the one
named, and changes nothing in the record. What the scripts print goes to the logs,
so these must be writable.

Its exit code is 0 where all is well, or there is no check to run; 2 where the
bundle has no such module; 4 where no run is recorded; 15 where a check failed;
16 where the record or the bundle cannot be read, or a log cannot be written; 130
where it was interrupted.`,
		RunE: func(c *cobra.Command, args []string) error {
			paths, err := p.paths()
			if err != nil {
				return err
			}
			if err := agent.TrustState(paths); err != nil { // also of a record that is missing
				return p.failed(agent.CodeRecord, err)
			}
			// Else it would leave a log where the agent never ran, as in an image.
			if _, err := record.Load(paths.Record()); errors.Is(err, record.ErrNone) {
				return p.failed(agent.CodeNoRecord, agent.ErrNothingToCheck)
			}
			log, err := journal.Open(journal.Config{Path: paths.Log(), Terminal: io.Discard, Level: zapcore.InfoLevel})
			switch {
			case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission): // nor can the modules' logs
				return p.failed(agent.CodeRecord, unwritable(err))
			case err != nil:
				fmt.Fprintf(p.stderr, "startup-agent: warning: %v\n", err)
			}
			defer log.Close()
			only := ""
			if len(args) > 0 {
				only = args[0]
			}
			checked := []agent.Checked{}
			code, err := agent.New(agent.Config{Paths: paths, Journal: log}).Check(c.Context(), only, func(c agent.Checked) {
				checked = append(checked, c)
			})
			if err != nil {
				return p.failed(code, err)
			}
			p.code = code
			if asJSON {
				return p.printJSON(map[string]any{"checks": checked})
			}
			return printChecked(p.stdout, checked)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON")
	return c
}

// unwritable says what to do about a log that cannot be opened.
func unwritable(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: what checks print is logged: mount it writable, mount -o remount,rw, to run them", err)
	}
	return err
}

func printChecked(w io.Writer, checked []agent.Checked) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "MODULE\tCHECK\tTIME\t")
	for _, c := range checked {
		fmt.Fprintf(t, "%s\t%s\t%.2fs\t%s\n", c.Module, c.Result, c.Seconds, c.Reason)
	}
	return t.Flush()
}
