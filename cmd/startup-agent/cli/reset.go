package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
)

func (p *program) resetCommand() *cobra.Command {
	var yes, all bool
	c := &cobra.Command{
		Use:   "reset",
		Short: "Forget the last run: the next start begins anew",
		Long: `Reset removes the record and the unpacked bundle, so that the next start of the
agent begins anew. With --all it also removes the modules' own folders and all
logs, as before an image is made of this machine. It undoes nothing that modules
did.`,
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := p.paths()
			if err != nil {
				return err
			}
			if !yes && !p.confirmed(c, "forget the last run below "+paths.Root+"?") {
				return p.failed(agent.CodeOther, errors.New("nothing was reset: answer y, or give --yes"))
			}
			if code, err := agent.Reset(paths, all); err != nil {
				return p.failed(code, err)
			}
			fmt.Fprintln(p.stderr, "reset: the next start of the agent begins anew")
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&all, "all", false, "also remove the modules' state and all logs")
	return c
}

// confirmed asks on the terminal. Without one the answer is no.
func (p *program) confirmed(c *cobra.Command, question string) bool {
	if f, ok := c.InOrStdin().(*os.File); !ok || !isTerminal(f) {
		return false
	}
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(answer), "y")
}
