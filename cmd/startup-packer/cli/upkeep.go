package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"startup-bundle/packer/upkeep"
)

func personalityFlag(c *cobra.Command) *string {
	return c.Flags().String("personality", "", "the personality `FILE` (default: the only .yaml file here)")
}

func (p *program) moduleAddCommand() *cobra.Command {
	var as string
	c := &cobra.Command{
		Use:   "add REFERENCE",
		Short: "Add a module from elsewhere to a personality, and lock it",
		Long: `Add puts a module at the end of a personality's list and pins what it is now in
the lock beside it. REFERENCE is one of

  oci://registry.example/team/hello:1.2
  git+https://git.example/modules.git//hello?ref=v1.2.0   (git+ssh, git+file too)
  https://files.example/hello-1.2.tgz#sha256=DIGEST`,
	}
	personality := personalityFlag(c)
	c.Flags().StringVar(&as, "as", "", "its `NAME` in the bundle, where that is not its own")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := upkeep.Open(*personality)
		if err != nil {
			return err
		}
		m, err := f.Add(c.Context(), args[0], as)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s %s  %s\n", m.Name, m.Version, m.Resolved)
		return nil
	}
	return c
}

func (p *program) moduleUpdateCommand() *cobra.Command {
	var dryRun, yes, allowMoved bool
	c := &cobra.Command{
		Use:   "update [NAME]...",
		Short: "See what a personality's modules from elsewhere are now, and lock that",
		Long: `Update asks what the references of the named modules (without names: of all) stand
for now, shows what changed in their files, and locks it once you agree. A release
or a git tag that stands for something else than before is refused: these should
never move. The exit code is 1 where nothing was locked that could have been.`,
	}
	personality := personalityFlag(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show, and lock nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&allowMoved, "allow-moved", false, "take releases and tags that have moved too")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := upkeep.Open(*personality)
		if err != nil {
			return err
		}
		changes, err := f.Outdated(c.Context(), args)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			fmt.Fprintln(p.stderr, "all modules are what they were")
			return nil
		}
		for _, change := range changes {
			fmt.Fprintf(p.stdout, "%s %s → %s\n  %s\n  %s\n%s\n", change.New.Name, change.Old.Version, change.New.Version, change.Old.Resolved, change.New.Resolved, change.Diff)
			if change.Moved && !allowMoved {
				return fmt.Errorf("module %s: its release or tag was %s and is %s now, and should never move: ask its owner; --allow-moved takes it", change.New.Name, change.Old.Resolved, change.New.Resolved)
			}
		}
		switch agreed, err := p.agreed(dryRun, yes); {
		case err != nil:
			return err
		case !agreed:
			p.code = codeOther
			return nil
		}
		return f.Update(changes)
	}
	return c
}

// agreed asks whether to go on.
func (p *program) agreed(dryRun, yes bool) (bool, error) {
	switch {
	case dryRun:
		return false, nil
	case yes:
		return true, nil
	case !isTerminal(os.Stdin):
		return false, errors.New("nothing is locked: say --yes, or answer on a terminal")
	}
	fmt.Fprint(p.stderr, "Lock this? [y/N] ")
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(answer), "y"), nil
}

func (p *program) moduleVendorCommand() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "vendor [NAME]...",
		Short: "Copy a personality's modules from elsewhere into a folder, and name these",
		Long: `Vendor copies the named modules (without names: all that are locked) into folders of
modules/ beside the personality, which names these from then on.`,
	}
	personality := personalityFlag(c)
	c.Flags().StringVar(&to, "to", "", "the `DIR` for the copies (default: modules beside the personality)")
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := upkeep.Open(*personality)
		if err != nil {
			return err
		}
		if to == "" {
			to = filepath.Join(filepath.Dir(f.Path()), "modules")
		}
		made, err := f.Vendor(c.Context(), args, to)
		for _, dir := range made {
			fmt.Fprintln(p.stdout, dir)
		}
		return err
	}
	return c
}
