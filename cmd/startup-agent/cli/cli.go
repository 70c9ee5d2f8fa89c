// Package cli is the command line of startup-agent: flags in, exit code out.
package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/terminal"
	"startup-bundle/internal/version"
)

// Main is the program. It returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := newProgram(stdout, stderr)
	root := p.command()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if lost := p.stdout.End(); lost != nil {
		return terminal.Lost(lost, "startup-agent", p.stderr)
	}
	if err != nil {
		p.explain(err, args)
	}
	return int(p.code)
}

// explain says what went wrong and sets the exit code.
func (p *program) explain(err error, args []string) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "startup-agent: %v\n", err)
	switch {
	case cmdline.Explain(&text, err):
		p.code = agent.CodeUsage
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		fmt.Fprintf(&text, "as root: sudo startup-agent %s\n", strings.Join(args, " "))
	}
	if p.code == agent.CodeDone {
		p.code = agent.CodeOther
	}
	_, _ = p.stderr.Write(p.priorities.Mark(zapcore.ErrorLevel, text.Bytes()))
}

// Command returns the command tree, for what is generated from it.
func Command() *cobra.Command {
	return newProgram(io.Discard, io.Discard).command()
}

// program is one call of the command.
type program struct {
	stdout, stderr *terminal.Writer
	root           string     // --root
	code           agent.Code // what a command that began its work ends with
	priorities     journal.Priorities
}

func newProgram(stdout, stderr io.Writer) *program {
	return &program{
		stdout: terminal.NewWriter(stdout), stderr: terminal.NewWriter(stderr), priorities: journal.PrioritiesOf(stderr),
	}
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "startup-agent",
		Short: "Boot this instance from the start-up bundle that its userdata names",
		Long: `Startup-agent runs once as the instance boots. It reads the userdata, fetches and
decrypts the start-up bundle named there, and runs the bundle's modules in order.
To see how that went, type startup-agent status.`,
		Example: `  startup-agent status                 what happened, and what to do about it
  startup-agent logs -f                the log of the run, as it grows
  startup-agent validate userdata      what the agent would make of this file`,
		Annotations: map[string]string{
			cmdline.ExitStatus: exitCodes,
			cmdline.Files: `  /etc/startup-agent/hooks.d/          run when a run has ended
  /etc/startup-agent/heartbeat.d/      run every few minutes meanwhile
  /etc/startup-agent/hooks.env         environment of the hooks that are shipped
  /etc/startup-agent/verify_keys       run only bundles that these keys signed
  /var/lib/startup-agent/record.json   what was durably done
  /var/lib/startup-agent/bundle/       the unpacked bundle
  /var/lib/startup-agent/state/        one folder for each module
  /var/log/startup-agent/agent.jsonl   the log
  /var/log/startup-agent/modules/      what each module printed
  /run/startup-agent/status.json       the record without secrets, for every user`,
			cmdline.Environment: `  STARTUP_AGENT_CA_FILE   more certificates to trust, as --ca-file
  HTTPS_PROXY, NO_PROXY   proxies for the bundle and for AWS; never for metadata
  AWS_EC2_METADATA_SERVICE_ENDPOINT
                          another metadata service
  NO_COLOR                no colours on a terminal`,
		},
	}
	root.PersistentFlags().StringVar(&p.root, "root", "/", "the folder that all paths are below")
	cmdline.Group(root, "See what happened:", p.statusCommand(), p.logsCommand(), p.timelineCommand(), p.collectCommand(), p.checkCommand())
	cmdline.Group(root, "Boot:", p.runCommand(), p.resetCommand(), p.signalCommand())
	cmdline.Group(root, "Prepare:", p.validateCommand(), p.bakeCheckCommand())
	root.AddCommand(p.versionCommand())
	cmdline.Prepare(root, version.String())
	return root
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
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
	return terminal.PrintJSON(p.stdout, v)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// failed is what a command returns that began its work and could not end it.
func (p *program) failed(code agent.Code, err error) error {
	p.code = code
	return err
}
