package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"startup-bundle/internal/version"
	"startup-bundle/packer"
	"startup-bundle/packer/rehearse"
)

func (p *program) lintCommand() *cobra.Command {
	var modules string
	var asJSON bool
	c := &cobra.Command{
		Use:   "lint SOURCE",
		Short: "Check a personality, a folder of modules, or one module",
		Long: `Lint says what would keep a module from being packed or run (an error, exit
code 1), and what may surprise (a warning).`,
		RunE: func(c *cobra.Command, args []string) error {
			found, err := packer.Lint(c.Context(), args[0], modules)
			if err != nil {
				return err
			}
			if asJSON {
				p.judgeFindings(found)
				return p.printJSON(map[string]any{"findings": append([]packer.Finding{}, found...)})
			}
			p.printFindings(found)
			return nil
		},
	}
	c.Flags().StringVar(&modules, "modules", "", "look modules up in this `DIR` (default: modules/ beside SOURCE or above it)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return c
}

// judgeFindings makes an error among the findings the exit code.
func (p *program) judgeFindings(found []packer.Finding) {
	for _, f := range found {
		if f.Level == packer.LevelError {
			p.code = codeOther
		}
	}
}

func (p *program) printFindings(found []packer.Finding) {
	p.judgeFindings(found)
	for _, f := range found {
		fmt.Fprintf(p.stdout, "%s: %s: %s\n", f.Path, f.Level, f.Problem)
	}
}

func (p *program) rehearseCommand() *cobra.Command {
	o := rehearse.Options{Version: version.String(), Stdout: p.stdout, Stderr: p.stderr}
	c := &cobra.Command{
		Use:   "rehearse SOURCE",
		Short: "Boot a personality on this machine, in a scratch folder",
		Long: `Rehearse packs SOURCE, serves it and a stand-in for instance metadata on
loopback, and runs the real agent against them with a scratch folder as its
root. The modules really run, as you and on this machine: what they install or
change outside $STARTUP_STATE_DIR, they install or change here.

Its exit code is the agent's.`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Source = args[0]
			p.code, err = rehearse.Run(c.Context(), o)
			return err
		},
	}
	c.Flags().StringVar(&o.Modules, "modules", "", "look modules up in this `DIR` (default: modules/ beside SOURCE or above it)")
	c.Flags().StringVar(&o.Agent, "agent", "", "the agent `PROGRAM` (default: startup-agent beside this program, else in PATH)")
	c.Flags().StringVar(&o.Keep, "keep", "", "make this `DIR` and keep the scratch root there")
	return c
}
