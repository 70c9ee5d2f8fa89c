package cli

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"startup-bundle/internal/module"
	"startup-bundle/internal/version"
	"startup-bundle/packer"
	"startup-bundle/packer/collection"
	"startup-bundle/packer/registry"
)

func plainHTTPFlag(c *cobra.Command, plainHTTP *bool) {
	c.Flags().BoolVar(plainHTTP, "plain-http", false, "speak http to the registry (always so on loopback)")
}

func registryClient(plainHTTP bool) *registry.Client {
	return registry.New(registry.Options{PlainHTTP: plainHTTP, UserAgent: "startup-packer/" + version.String()})
}

func (p *program) modulePublishCommand(modules *string) *cobra.Command {
	var o registry.PublishOptions
	var asJSON, plainHTTP bool
	var signKey, passwordFile string
	c := &cobra.Command{
		Use:   "publish MODULE oci://HOST/REPOSITORY",
		Short: "Put a module into an OCI registry",
		Long: `Publish lints a module and puts it into a registry under its version, which
module.yaml names: 1.2.3. The tags 1.2, 1 and latest follow the newest release. A
version that is there already with other content is refused, the same content again
changes nothing. With a tag that is no version, as in oci://HOST/REPOSITORY:edge, it
sets that tag alone, which may be set again at will.

MODULE is a folder (./hello) or a module's name in the collection; REPOSITORY is the
whole of it, the module's name included. It prints the reference by digest.

Log in with docker login HOST, or have a credential helper in docker's config.json.`,
		Example: `  startup-packer module publish ./hello oci://registry.example/team/hello
  startup-packer module publish ./hello oci://registry.example/team/hello:edge --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := moduleDir(*modules, args[0])
			if err != nil {
				return err
			}
			if err := p.lintToPublish(c.Context(), dir); err != nil {
				return err
			}
			if signKey != "" && !o.DryRun {
				if _, err := p.signModule(c.Context(), dir, signKey, passwordFile); err != nil {
					return err
				}
			}
			if o.ModTime, err = packer.SourceDateEpoch(); err != nil {
				return err
			}
			result, err := registryClient(plainHTTP).Publish(c.Context(), dir, args[1], o)
			if err != nil {
				return err
			}
			p.tellPublished(result)
			if asJSON {
				return p.printJSON(result)
			}
			fmt.Fprintln(p.stdout, result.Ref)
			return nil
		},
	}
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "ask the registry, say what would be done, and change nothing")
	c.Flags().StringVar(&signKey, "sign-key", "", "sign the module first, with the secret key in this `FILE`")
	c.Flags().StringVar(&passwordFile, "sign-password-file", "", "the `FILE` with the password of --sign-key (default: asked on the terminal)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	plainHTTPFlag(c, &plainHTTP)
	return c
}

// lintToPublish refuses a module that lint finds an error in; warnings are shown.
func (p *program) lintToPublish(ctx context.Context, dir string) error {
	found, err := lint(ctx, "", []string{dir}, false)
	if err != nil {
		return err
	}
	refused := false
	for _, f := range found {
		fmt.Fprintln(p.stderr, f)
		refused = refused || f.Level == packer.LevelError
	}
	if refused {
		return fmt.Errorf("%s is not published: fix the errors above first", dir)
	}
	return nil
}

// tellPublished says on stderr what was done.
func (p *program) tellPublished(r *registry.Published) {
	for _, w := range r.Warnings {
		fmt.Fprintf(p.stderr, "warning: %s\n", w)
	}
	did, tags := "published", "tags set: "+strings.Join(r.Tags, ", ")
	switch {
	case r.DryRun && r.Uploaded:
		did, tags = "would publish", "tags to set: "+strings.Join(r.Tags, ", ")
	case !r.Uploaded && len(r.Tags) == 0:
		did, tags = "nothing to do: the registry has this content already,", "tags are right"
	case r.DryRun:
		did, tags = "the registry has this content already,", "tags to set: "+strings.Join(r.Tags, ", ")
	case !r.Uploaded:
		did = "the registry has this content already,"
	}
	fmt.Fprintf(p.stderr, "%s %s %s (%s; %s)\n", did, r.Name, r.Version, size(r.Size), tags)
}

// publishedModule is what info prints of a module in a registry, as JSON.
type publishedModule struct {
	registry.Descriptor
	After   []string                 `json:"after,omitempty"`
	Run     string                   `json:"run,omitempty"`
	Timeout string                   `json:"timeout,omitempty"`
	Options map[string]module.Option `json:"options,omitempty"`
}

func (p *program) publishedInfo(ctx context.Context, client *registry.Client, ref string, asJSON bool) error {
	d, spec, err := client.Describe(ctx, ref)
	if err != nil {
		return err
	}
	if asJSON {
		return p.printJSON(publishedModule{d, spec.After, spec.Run, spec.Timeout, spec.Options})
	}
	systems := "any system"
	if len(d.OS) > 0 {
		systems = strings.Join(d.OS, ", ")
	}
	text := fmt.Sprintf("%s %s\n%s\n\n%s\ntree %s, %s packed, for %s\n\n%s",
		d.Name, d.Version, d.Summary, d.Ref, d.TreeDigest, size(d.Size), systems, collection.OptionsTable(spec))
	fmt.Fprint(p.stdout, strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' { // a stranger's text, on our terminal
			return ' '
		}
		return r
	}, text))
	return nil
}
