package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/secret"
	"startup-bundle/packer"
)

func (p *program) resealCommand() *cobra.Command {
	var out, newKey, passphrase string
	var seal packer.Seal
	var asJSON bool
	c := &cobra.Command{
		Use:               "reseal BUNDLE -o NEW --key-file OLD",
		ValidArgsFunction: completeBundle,
		Short:             "Put a bundle under another key",
		Long: `Reseal writes a bundle of the same content that another key opens. The content
digest and a signature in it stay as they are; the sha256 of the file does not.
A bundle of --format openssl cannot be resealed: pack it again.`,
		Example: `  startup-packer reseal web.bundle -o new.bundle --key-file web.key --key-out new.key
  startup-packer reseal web.bundle -o both.bundle --key-file web.key --recipient age1… --recipient age1…`,
	}
	key := keyFlag(c, "the `FILE` with the key that opens BUNDLE")
	c.RunE = func(c *cobra.Command, args []string) error {
		if newKey == "" && passphrase == "" && seal.KeyOut == "" && len(seal.Recipients) == 0 {
			return cmdline.Misuse(c, "no new key given: give --new-key-file, --key-out, --recipient or --passphrase-file")
		}
		old, err := key()
		if err != nil {
			return err
		}
		for file, to := range map[string]*secret.String{newKey: &seal.Key, passphrase: &seal.Passphrase} {
			if file == "" {
				continue
			}
			if *to, err = secret.ReadFile(file); err != nil {
				return err
			}
		}
		r, err := packer.Reseal(c.Context(), args[0], out, old, seal)
		if err != nil {
			return err
		}
		if asJSON {
			return p.printJSON(r)
		}
		fmt.Fprintf(p.stdout, "bundle          %s (%s)\n", r.Bundle, size(r.Bytes))
		fmt.Fprintf(p.stdout, "sha256          %s\n", r.SHA256)
		if r.KeyFile != "" {
			fmt.Fprintf(p.stdout, "key file        %s\n", r.KeyFile)
		}
		return nil
	}
	f := c.Flags()
	f.StringVarP(&out, "output", "o", "", "the new bundle `FILE` to write")
	f.StringVar(&newKey, "new-key-file", "", "seal with the key in this `FILE`, an age identity or a passphrase")
	f.StringVar(&seal.KeyOut, "key-out", "", "make a fresh key and write it to this new `FILE`")
	f.StringArrayVar(&seal.Recipients, "recipient", nil, "seal for this age public `KEY`; may be repeated")
	f.StringVar(&passphrase, "passphrase-file", "", "seal under the passphrase in this `FILE`")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.MarkFlagsMutuallyExclusive("new-key-file", "key-out", "recipient", "passphrase-file")
	_ = c.MarkFlagRequired("output") // fails only for a flag that does not exist
	_ = c.MarkFlagRequired("key-file")
	return c
}
