package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"startup-bundle/internal/cmdline"
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
	c.PersistentFlags().StringVar(&modules, "modules", "", "look modules up in this `DIR` first, then in modules/ here or above, then among the standard ones")
	cmdline.Group(c, "Your modules:", p.moduleNewCommand(&modules), p.moduleTestCommand(&modules), p.moduleSignCommand(&modules), p.modulePublishCommand(&modules))
	cmdline.Group(c, "See what there is:", p.moduleListCommand(&modules), p.moduleInfoCommand(&modules))
	cmdline.Group(c, "Other people's modules:", p.moduleAddCommand(), p.moduleUpdateCommand(), p.moduleVendorCommand())
	for _, sub := range c.Commands() {
		if strings.Contains(sub.Use, "MODULE") {
			sub.ValidArgsFunction = moduleNames(&modules)
		}
	}
	hidden := p.lintCommand() // its former place
	hidden.Hidden = true
	c.AddCommand(hidden)
	return c
}

// modulesDir returns the collection that the flag names, or the nearest.
func modulesDir(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	dir, err := source.FindModules(".")
	if err == nil && dir == "" {
		err = errors.New("there is no modules folder here or above: name a module, or a folder of modules with --modules DIR")
	}
	return dir, err
}

// folders returns where a module's name is looked up: in the folder that the flag
// names, in modules/ here or above, among the standard modules.
func folders(flag string) (source.Folders, error) {
	collections, err := source.Collections(".", flag)
	return source.Folders{Base: ".", Collections: collections}, err
}

// moduleDir returns the folder of a module named on the command line: a path, or
// a name.
func moduleDir(flag, name string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || name == "." {
		return name, nil
	}
	f, err := folders(flag)
	if err != nil {
		return "", err
	}
	return f.Named(name)
}

// moduleNames are the completions of a module's name.
func moduleNames(flag *string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		f, err := folders(*flag)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		entries, err := collection.ListAll(f)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		names := make([]string, len(entries))
		for i, e := range entries {
			names[i] = cobra.CompletionWithDesc(e.Name, e.Summary)
		}
		return names, cobra.ShellCompDirectiveDefault // or a folder
	}
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
			p.next("edit %s/start, then startup-packer lint %s", path, path)
			return nil
		},
	}
}

func (p *program) moduleListCommand(modules *string) *cobra.Command {
	var asJSON, markdown bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List your modules and the standard ones",
		RunE: func(*cobra.Command, []string) error {
			f, err := folders(*modules)
			if err != nil {
				return err
			}
			entries, err := collection.ListAll(f)
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
				from := "your own"
				if e.Standard {
					from = "standard"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Name, e.Version, from, e.Summary)
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
