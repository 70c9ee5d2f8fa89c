package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"startup-bundle/packer"
	"startup-bundle/packer/collection"
	"startup-bundle/packer/registry"
	"startup-bundle/packer/source"
)

func (p *program) moduleCommand() *cobra.Command {
	var modules string
	c := &cobra.Command{
		Use:   "module",
		Short: "Make, list and check modules",
	}
	c.PersistentFlags().StringVar(&modules, "modules", "", "the `DIR` of modules (default: modules/ here or above)")
	c.AddCommand(p.moduleNewCommand(&modules), p.moduleListCommand(&modules), p.moduleInfoCommand(&modules), p.moduleLintCommand(&modules), p.moduleTestCommand(&modules),
		p.modulePublishCommand(&modules), p.moduleSignCommand(&modules), p.moduleAddCommand(), p.moduleUpdateCommand(), p.moduleVendorCommand())
	return c
}

// modulesDir returns the folder of modules that the flag names, or the nearest.
func modulesDir(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	dir, err := source.FindModules(".")
	if err == nil && dir == "" {
		err = errors.New("there is no modules folder here or above: name one with --modules DIR")
	}
	return dir, err
}

// moduleDir returns the folder of a module named on the command line: a path,
// or a name in the collection.
func moduleDir(flag, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || name == "." {
		return name, nil
	}
	dir, err := modulesDir(flag)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	return dir, nil
}

func (p *program) moduleNewCommand(modules *string) *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Make the folder of a new module, which passes lint and rehearsal at once",
		RunE: func(_ *cobra.Command, args []string) error {
			dir := *modules
			if dir == "" {
				found, err := source.FindModules(".")
				if err != nil {
					return err
				}
				if dir = found; dir == "" {
					dir = "modules"
				}
			}
			path, err := collection.New(dir, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(p.stdout, path)
			return nil
		},
	}
}

func (p *program) moduleListCommand(modules *string) *cobra.Command {
	var asJSON, markdown bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the modules of a collection",
		RunE: func(*cobra.Command, []string) error {
			dir, err := modulesDir(*modules)
			if err != nil {
				return err
			}
			entries, err := collection.List(dir)
			switch {
			case err != nil:
				return err
			case asJSON:
				return p.printJSON(map[string]any{"modules": entries})
			case markdown:
				fmt.Fprint(p.stdout, collection.Markdown(entries))
				return nil
			}
			t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			for _, e := range entries {
				fmt.Fprintf(t, "%s\t%s\t%s\n", e.Name, e.Version, e.Summary)
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	c.Flags().BoolVar(&markdown, "markdown", false, "print the collection's documentation")
	c.MarkFlagsMutuallyExclusive("json", "markdown")
	return c
}

func (p *program) moduleInfoCommand(modules *string) *cobra.Command {
	var asJSON, plainHTTP bool
	c := &cobra.Command{
		Use:   "info MODULE",
		Short: "Show a module's options",
		Long: `Info shows what a module is and its options. MODULE is its name in the collection,
its folder, or a reference to a registry, oci://HOST/REPOSITORY[:TAG], of which only
the description is fetched.`,
		RunE: func(c *cobra.Command, args []string) error {
			if strings.HasPrefix(args[0], registry.Scheme) {
				return p.publishedInfo(c.Context(), registryClient(plainHTTP), args[0], asJSON)
			}
			dir, err := moduleDir(*modules, args[0])
			if err != nil {
				return err
			}
			e, err := collection.Read(dir)
			if err != nil {
				return err
			}
			if asJSON {
				return p.printJSON(e)
			}
			fmt.Fprintf(p.stdout, "%s %s\n%s\n\n%s", e.Name, e.Version, e.Summary, collection.OptionsTable(e.Spec))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	plainHTTPFlag(c, &plainHTTP)
	return c
}

func (p *program) moduleLintCommand(modules *string) *cobra.Command {
	var fix bool
	c := &cobra.Command{
		Use:   "lint [MODULE]...",
		Short: "Check modules: the contract, their options, their documentation",
		Long: `Lint checks the modules named, or all of the collection: as startup-packer lint,
and that each README shows the options that module.yaml declares. With --fix it
writes those tables. It runs shellcheck over the scripts where that is installed.`,
		RunE: func(c *cobra.Command, args []string) error {
			dirs, err := lintDirs(*modules, args)
			if err != nil {
				return err
			}
			var found []packer.Finding
			for _, dir := range dirs {
				list, err := lintModule(c.Context(), dir, fix)
				if err != nil {
					return err
				}
				found = append(found, list...)
			}
			p.printFindings(found)
			return nil
		},
	}
	c.Flags().BoolVar(&fix, "fix", false, "write the tables of options into the READMEs")
	return c
}

// lintModule returns everything that there is to say about one module.
func lintModule(ctx context.Context, dir string, fix bool) ([]packer.Finding, error) {
	found, err := packer.Lint(ctx, dir, "")
	if err != nil {
		return nil, err
	}
	more, err := collection.Lint(ctx, dir, fix)
	return append(found, more...), err
}

func lintDirs(modules string, names []string) ([]string, error) {
	modules, names, err := namedOrAll(modules, names)
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(names))
	for i, name := range names {
		dir, err := moduleDir(modules, name)
		if err != nil {
			return nil, err
		}
		dirs[i] = dir
	}
	return dirs, nil
}

// namedOrAll returns the names given with the folder that the flag names, or,
// where none are given, all modules of the collection and its folder.
func namedOrAll(modules string, names []string) (dir string, all []string, err error) {
	if len(names) > 0 {
		return modules, names, nil
	}
	if dir, err = modulesDir(modules); err != nil {
		return "", nil, err
	}
	all, err = source.All(dir)
	return dir, all, err
}
