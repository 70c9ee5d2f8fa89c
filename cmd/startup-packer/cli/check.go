package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/module"
	"startup-bundle/internal/terminal"
	"startup-bundle/internal/version"
	"startup-bundle/packer"
	"startup-bundle/packer/collection"
	"startup-bundle/packer/rehearse"
	"startup-bundle/packer/source"
)

func (p *program) lintCommand() *cobra.Command {
	var modules string
	var asJSON, fix bool
	c := &cobra.Command{
		Use:   "lint [SOURCE]...",
		Short: "Find mistakes in personalities and modules",
		Long: `Lint says what would keep a module from being packed or run (an error, exit
code 1), and what may surprise (a warning). SOURCE is a personality file, a folder
of modules, or a module: its folder or its name. Without one, lint checks the
modules/ folder here or above.

Scripts are parsed by their interpreters, and shell scripts are also given to
shellcheck, if these are installed. Lint runs nothing and changes nothing; with
--fix it writes the table of options into each module's README.`,
		Example: `  startup-packer lint web.yaml
  startup-packer lint --fix modules/motd`,
		RunE: func(c *cobra.Command, args []string) error {
			found, err := lint(c.Context(), modules, args, fix)
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
	c.Flags().BoolVar(&fix, "fix", false, "write the tables of options into the READMEs")
	c.Flags().StringVar(&modules, "modules", "", "look modules up in this `DIR` first, then in modules/ beside SOURCE or above it, then among the standard ones")
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return c
}

// lint returns everything there is to say about the sources.
func lint(ctx context.Context, modules string, sources []string, fix bool) ([]packer.Finding, error) {
	if len(sources) == 0 {
		dir, err := modulesDir(modules)
		if err != nil {
			return nil, err
		}
		sources = []string{dir}
	}
	var found []packer.Finding
	for _, source := range sources {
		if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) && !strings.ContainsRune(source, filepath.Separator) {
			dir, err := moduleDir(modules, source)
			if err != nil {
				return nil, err
			}
			source = dir
		}
		list, err := packer.Lint(ctx, source, modules)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
		for _, dir := range ownModules(source, modules) {
			list, err := collection.Lint(ctx, dir, fix)
			if err != nil {
				return nil, err
			}
			found = append(found, list...)
		}
	}
	return found, nil
}

// ownModules returns the folders of modules at a path: the folder itself if it is
// a module, the modules in it, or those that it names if it is a personality.
func ownModules(path, modules string) []string {
	if _, err := os.Lstat(filepath.Join(path, module.Start)); err == nil {
		return []string{path}
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return packer.OwnModules(path, modules)
	}
	names, err := source.All(path)
	if err != nil {
		return nil
	}
	dirs := make([]string, len(names))
	for i, name := range names {
		dirs[i] = filepath.Join(path, name)
	}
	return dirs
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
		fmt.Fprintln(p.stdout, f)
	}
}

func (p *program) rehearseCommand() *cobra.Command {
	o := rehearse.Options{Version: version.String(), Stdout: p.stdout, Stderr: p.stderr}
	var given []string
	c := &cobra.Command{
		Use:   "rehearse SOURCE",
		Short: "Boot a personality in a copy of this machine that is thrown away",
		Long: `Rehearse packs SOURCE, serves it and a stand-in for instance metadata on
loopback, and runs the real agent against them with a scratch folder as its
root. The modules really run, but in a copy of this machine: what they change
there is listed at the end and thrown away. As root they can do there nearly all
that they can on an instance; as a normal user they cannot install packages or
add users.

It keeps accidents away from this machine, not modules that mean harm: they can
read what you can read, and use the network. docs/rehearsing.md says more.

Its exit code is the agent's.`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Source = args[0]
			if o.Given, err = packer.ParseGiven(given); err != nil {
				return cmdline.Misuse(c, "%v", err)
			}
			o.Again = rehearseAgain(c, args)
			more := make(chan os.Signal, 1) // a second Ctrl-C does not keep it from telling how the run ended
			signal.Notify(more, syscall.SIGINT, syscall.SIGTERM)
			defer signal.Stop(more)
			p.code, err = rehearse.Run(c.Context(), o)
			return err
		},
	}
	c.Flags().StringVar(&o.Modules, "modules", "", "look modules up in this `DIR` first, then in modules/ beside SOURCE or above it, then among the standard ones")
	c.Flags().StringArrayVar(&given, "option", nil, "set an option of a module, as `NAME.KEY=VALUE`; may be given again")
	c.Flags().StringVar(&o.Agent, "agent", "", "the agent `PROGRAM` (default: startup-agent beside this program, else in PATH)")
	c.Flags().StringVar(&o.Keep, "keep", "", "keep the scratch root in this `DIR`, in place of an earlier rehearsal's")
	c.Flags().StringVar(&o.Timeline, "timeline", "", "write the picture of the run to this `FILE`")
	c.Flags().BoolVar(&o.Here, "here", false, "run the modules on this machine itself: what they change stays changed")
	return c
}

// rehearseAgain is the command line, without the values of options: they may be
// secret.
func rehearseAgain(c *cobra.Command, args []string) string {
	words := []string{c.CommandPath()}
	for _, arg := range args {
		words = append(words, terminal.Quote(arg))
	}
	c.Flags().Visit(func(f *pflag.Flag) {
		switch list, ok := f.Value.(pflag.SliceValue); {
		case ok:
			for _, one := range list.GetSlice() {
				path, _, _ := strings.Cut(one, "=")
				words = append(words, "--"+f.Name, terminal.Quote(path)+"=…")
			}
		case f.Value.Type() == "bool":
			words = append(words, "--"+f.Name)
		default:
			words = append(words, "--"+f.Name, terminal.Quote(f.Value.String()))
		}
	})
	return strings.Join(words, " ")
}
