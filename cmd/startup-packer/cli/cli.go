// Package cli is the command line of startup-packer: flags in, exit code out.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
	"startup-bundle/internal/version"
	"startup-bundle/packer/push"
	"startup-bundle/packer/registry"
	"startup-bundle/packer/sandbox"
	"startup-bundle/packer/source"
)

// The exit codes. Where the agent has one for the same trouble, it is the same.
const (
	codeOther       = 1
	codeUsage       = 2
	codeOpen        = 13
	codeUnpack      = 14
	codeSpace       = 16
	codeInterrupted = 130
)

// Main is the program, until it ends, or a SIGINT, SIGTERM or SIGHUP ends it; the
// last only if it is not ignored, as under nohup. It returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == sandbox.Command {
		return sandbox.Inside()
	}
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // a rehearsal must not go on alone: the agent in it outlives a SIGHUP
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, signals...)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends a command that the first did not
	p := &program{stdout: terminal.NewWriter(stdout), stderr: terminal.NewWriter(stderr)}
	root := p.command()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if lost := p.stdout.End(); lost != nil {
		return terminal.Lost(lost, "startup-packer", p.stderr)
	}
	if err == nil {
		return p.code
	}
	fmt.Fprintf(p.stderr, "startup-packer: %v\n", files.Room(err, "."))
	switch {
	case ctx.Err() != nil:
		return codeInterrupted
	case cmdline.Explain(p.stderr, err), errors.Is(err, push.ErrUsage), errors.Is(err, source.ErrReference):
		return codeUsage
	case errors.Is(err, bundle.ErrSpace), errors.Is(err, syscall.ENOSPC):
		return codeSpace
	case errors.Is(err, bundle.ErrUnsafe):
		return codeUnpack
	case errors.Is(err, bundle.ErrKey), errors.Is(err, bundle.ErrDamaged), errors.Is(err, bundle.ErrFormat), errors.Is(err, registry.ErrMismatch), errors.Is(err, source.ErrDrift):
		return codeOpen
	}
	return codeOther
}

// program is one call of the command.
type program struct {
	stdout, stderr *terminal.Writer
	code           int
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "startup-packer",
		Short: "Make start-up bundles from modules",
		Long: `Startup-packer packs modules into an encrypted start-up bundle, which an
instance with startup-agent takes on when its userdata names the bundle. It is not
HashiCorp Packer, which makes machine images.`,
		Annotations: map[string]string{
			cmdline.ExitStatus: `  0    done
  1    failed, or lint has found errors
  2    usage
  13   open: wrong key, tampered, truncated
  14   unpack: the archive is refused
  16   disk
  130  interrupted

startup-packer rehearse ends with the code of the agent.`,
			cmdline.Files: `  personality.yaml            which modules, in which order, with which options
  modules/NAME/               your modules
  PERSONALITY.lock            what modules from elsewhere were when they were added
  ~/.cache/startup-packer/    copies of these and of the standard modules; may be removed`,
			cmdline.Environment: `  SOURCE_DATE_EPOCH   the time that all files in a bundle get (default: 1970)
  AWS_PROFILE and the rest of the AWS CLI's variables, for push`,
		},
		Example: `  startup-packer init web                      begin: a personality and a first module
  startup-packer lint web.yaml                 find mistakes
  startup-packer rehearse web.yaml             try it here, without AWS
  startup-packer pack web.yaml -o web.bundle   make the bundle and its key`,
	}
	cmdline.Group(root, "Modules:", p.initCommand(), p.lintCommand(), p.rehearseCommand(), p.moduleCommand())
	cmdline.Group(root, "Bundles:", p.packCommand(), p.inspectCommand(), p.unpackCommand(), p.resealCommand(), p.keygenCommand())
	cmdline.Group(root, "Launch:", p.pushCommand(), p.userdataCommand())
	root.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Run:   func(*cobra.Command, []string) { fmt.Fprintln(p.stdout, "startup-packer", version.String()) },
	})
	cmdline.Prepare(root, version.String())
	return root
}

// Command returns the command tree, for what is generated from it.
func Command() *cobra.Command {
	return (&program{stdout: terminal.NewWriter(io.Discard), stderr: terminal.NewWriter(io.Discard)}).command()
}

// next says which command usually follows; not to programs.
func (p *program) next(format string, args ...any) {
	fmt.Fprintf(p.stderr, "next: "+format+"\n", args...)
}

// printJSON prints a result for programs.
func (p *program) printJSON(v any) error {
	return terminal.PrintJSON(p.stdout, v)
}

// keyFlag adds --key-file, and returns a function that reads it; no flag, no key.
func keyFlag(c *cobra.Command, usage string) func() (secret.String, error) {
	var file string
	c.Flags().StringVar(&file, "key-file", "", usage)
	return func() (secret.String, error) {
		if file == "" {
			return secret.String{}, nil
		}
		return secret.ReadFile(file)
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
