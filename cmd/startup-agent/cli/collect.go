package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
	"startup-bundle/agent/collect"
	"startup-bundle/internal/version"
)

func (p *program) collectCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "collect",
		Short: "Put all that is known of the last run into one file, for a bug report",
		Long: `Collect makes a .tar.gz of the status, the record, the logs, the timeline, and what
systemd says of the unit. The userdata, the key and the bundle are not in it;
options marked secret, and what looks like a secret, are replaced. What modules printed is in it: read it
before you give it away.`,
		RunE: func(c *cobra.Command, _ []string) error {
			now := time.Now()
			if output == "" {
				output = "startup-agent-" + now.UTC().Format("20060102-150405") + ".tar.gz"
			}
			f, err := os.OpenFile(output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return p.failed(agent.CodeOther, fmt.Errorf("make the archive: %w", err))
			}
			names, denied, err := collect.Write(c.Context(), f, collect.Options{Root: p.root, Version: version.String(), Now: now})
			if err = errors.Join(err, f.Close()); err != nil {
				return p.failed(agent.CodeOther, errors.Join(fmt.Errorf("make the archive: %w", err), os.Remove(output)))
			}
			fmt.Fprintf(p.stdout, "%s: %d files\n", output, len(names))
			if len(denied) > 0 {
				fmt.Fprintf(p.stderr, "startup-agent: missing, for only root may read it: %s; as root: sudo startup-agent collect\n", strings.Join(denied, ", "))
			}
			fmt.Fprintln(p.stdout, "What the modules printed is in it. What looks like a secret was replaced, but")
			fmt.Fprintln(p.stdout, "only who wrote the modules knows what else is one: read it before you send it.")
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to this `FILE`, which must not be there (default startup-agent-TIME.tar.gz)")
	return c
}
