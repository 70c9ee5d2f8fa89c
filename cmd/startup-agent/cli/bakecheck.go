package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
	"startup-bundle/agent/bakecheck"
)

func (p *program) bakeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bake-check",
		Short: "Say what must be mended before an image is made of this machine",
		Long: `Bake-check fails while the agent has a past here (a record, a bundle, logs, a key
that cloud-init kept), while others than root can change what it trusts, while its
unit is not enabled, while there are no CA certificates, or while the clock is
absurd. It prints each finding with what to do, and changes nothing. Exit code: 0
nothing found, 1 something found.`,
		RunE: func(*cobra.Command, []string) error {
			paths, err := p.paths()
			if err != nil {
				return err
			}
			findings, err := bakecheck.Check(paths, time.Now())
			for _, f := range findings {
				fmt.Fprintf(p.stdout, "%s\n    do: %s\n", f.What, f.Do)
			}
			if err != nil {
				return p.failed(agent.CodeOther, err)
			}
			if len(findings) > 0 {
				p.code = agent.CodeOther
				fmt.Fprintf(p.stderr, "bake-check: %d found: mend them, then run bake-check again\n", len(findings))
				return nil
			}
			fmt.Fprintln(p.stdout, "nothing found: an image may be made of this machine")
			return nil
		},
	}
}
