package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/module"
	"startup-bundle/internal/version"
	"startup-bundle/packer/proving"
)

// moduleTest is the flags of module test.
type moduleTest struct {
	proving.Options
	bases    []string
	given    []string
	asJSON   bool
	skipHere bool
}

func (p *program) moduleTestCommand(modules *string) *cobra.Command {
	t := moduleTest{Options: proving.Options{Version: version.String(), Stderr: p.stderr}}
	c := &cobra.Command{
		Use:   "test [MODULE|PERSONALITY]...",
		Short: "Boot a throw-away machine and try modules on it, twice",
		Long: `Test tries each module named, all modules of a personality together, or without
arguments each module of the collection. It boots a container with a systemd of
its own (systemd-nspawn, over a root that mmdebstrap makes once), runs the real
agent in it as an instance does, from userdata with a URL and a key, then
startup-agent check, then the agent again with --force: the second time nothing
may change. What a module needs to be tested is in its
folder in test.yaml. Nothing of the machine is left afterwards.

It needs root on Linux, and says what else is missing. The exit code is 1 when a
module failed, or when it cannot be tried here.`,
		RunE: func(c *cobra.Command, args []string) error { return p.moduleTest(c, *modules, t, args) },
	}
	f := c.Flags()
	f.StringSliceVar(&t.bases, "base", []string{"debian12"}, "the `SYSTEM` to boot: "+strings.Join(proving.Bases(), ", ")+"; may be given again")
	f.StringArrayVar(&t.given, "option", nil, "set an option of the module, as `NAME=VALUE`")
	f.StringVar(&t.Image, "image", "", "boot a copy of this root `DIR` instead of a base")
	f.StringVar(&t.Timeline, "timeline", "", "write the picture of the first run to this `FILE`")
	f.BoolVar(&t.Keep, "keep", false, "leave the machine up until Ctrl-C, and say how to look inside")
	f.StringVar(&t.Agent, "agent", "", "the agent `PROGRAM`, a static one (default: startup-agent beside this program)")
	f.BoolVar(&t.skipHere, "skip-unable", false, "where this machine cannot boot another, say so and exit with 0")
	f.BoolVar(&t.asJSON, "json", false, "print the results as JSON")
	cmdline.Complete(c, "base", proving.Bases)
	c.MarkFlagsMutuallyExclusive("base", "image")
	return c
}

func (p *program) moduleTest(c *cobra.Command, modules string, t moduleTest, args []string) error {
	sources, err := testSources(modules, args)
	if err != nil {
		return err
	}
	if len(t.given) > 0 && len(sources) != 1 {
		return errors.New("--option is for one module: name it")
	}
	if t.Timeline != "" && len(sources)*len(t.bases) != 1 {
		return errors.New("--timeline is of one module or personality on one system: name them")
	}
	if t.Given, err = parseOptions(t.given); err != nil {
		return err
	}
	if t.Image != "" {
		t.bases = []string{""}
	}
	t.Modules = modules
	results := []proving.Result{}
	for _, t.Base = range t.bases {
		for _, t.Source = range sources {
			r, err := proving.Run(c.Context(), t.Options)
			switch {
			case proving.Unable(err) && t.skipHere:
				fmt.Fprintln(p.stderr, "skipped:", err)
				return nil
			case err != nil:
				return fmt.Errorf("test %s: %w", t.Source, err)
			}
			if results = append(results, r); r.Result == proving.Failed {
				p.code = codeOther
			}
			if !t.asJSON {
				printTested(p.stdout, r, len(results) == 1)
			}
		}
	}
	if t.asJSON {
		return p.printJSON(map[string]any{"tests": results})
	}
	return nil
}

const testRow = "%-20s %-10s %-8s %8s %8s %9s  %s\n"

func printTested(w io.Writer, r proving.Result, first bool) {
	if first {
		fmt.Fprintf(w, testRow, "MODULE", "SYSTEM", "RESULT", "START", "AGAIN", "DISK", "")
	}
	fmt.Fprintf(w, testRow, r.Source, r.Base, r.Result, fmt.Sprintf("%.1fs", r.Start), fmt.Sprintf("%.1fs", r.Again),
		fmt.Sprintf("%.1f MB", float64(r.Disk)/1e6), r.Reason)
}

// testSources returns the paths of what is named: modules' folders and
// personality files; without names, all modules.
func testSources(modules string, names []string) ([]string, error) {
	modules, names, err := namedOrAll(modules, names)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(names))
	for i, name := range names {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			paths[i] = name
			continue
		}
		dir, err := moduleDir(modules, name)
		if err != nil {
			return nil, err
		}
		paths[i] = dir
	}
	return paths, nil
}

func parseOptions(given []string) (map[string]module.Scalar, error) {
	options := map[string]module.Scalar{}
	for _, text := range given {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--option %q is not NAME=VALUE", text)
		}
		options[name] = module.Scalar(value)
	}
	return options, nil
}
