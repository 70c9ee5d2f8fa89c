// Package cli is the command line of startup-agent: flags in, exit code out.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"startup-bundle/agent"
	"startup-bundle/internal/version"
)

// Main is the program. It returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr}
	root := p.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if ran, err := root.ExecuteContextC(ctx); err != nil {
		fmt.Fprintf(stderr, "startup-agent: %v\n", err)
		if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
			fmt.Fprintf(stderr, "as root: sudo startup-agent %s\n", strings.Join(args, " "))
		}
		if p.code == agent.CodeDone {
			fmt.Fprintln(stderr, usage(ran))
			return int(agent.CodeUsage)
		}
	}
	return int(p.code)
}

// Command returns the command tree, for what is generated from it.
func Command() *cobra.Command {
	return (&program{stdout: io.Discard, stderr: io.Discard}).command()
}

// program is one call of the command.
type program struct {
	stdout, stderr io.Writer
	root           string     // --root
	code           agent.Code // what a command that began its work ends with
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "startup-agent",
		Short:         "Boot this instance from the start-up bundle that its userdata names",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&p.root, "root", "/", "the folder that all paths are below")
	root.AddCommand(
		p.runCommand(),
		p.statusCommand(),
		p.logsCommand(),
		p.timelineCommand(),
		p.collectCommand(),
		p.checkCommand(),
		p.validateCommand(),
		p.resetCommand(),
		p.bakeCheckCommand(),
		p.signalCommand(),
		p.versionCommand(),
	)
	return root
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { fmt.Fprintln(p.stdout, "startup-agent", version.String()) },
	}
}

// paths returns the agent's files below --root.
func (p *program) paths() (agent.Paths, error) {
	root, err := filepath.Abs(p.root)
	if err != nil {
		return agent.Paths{}, p.failed(agent.CodeOther, err)
	}
	return agent.Paths{Root: root}, nil
}

// printJSON prints a result for programs.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// failed is what a command returns that began its work and could not end it.
func (p *program) failed(code agent.Code, err error) error {
	p.code = code
	return err
}

// usage says how c is called, for whoever called it in another way.
func usage(c *cobra.Command) string {
	text := c.CommandPath() + " --help says more"
	if c.HasSubCommands() {
		return text
	}
	return "usage: " + c.UseLine() + "\n" + text
}
