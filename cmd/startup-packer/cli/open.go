package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
	"startup-bundle/internal/terminal"
	"startup-bundle/packer"
)

const openKeyUsage = "the `FILE` that holds the passphrase or the age identity"

func (p *program) inspectCommand() *cobra.Command {
	var asJSON bool
	var iterations int
	var verifyKey string
	c := &cobra.Command{
		Use:               "inspect BUNDLE",
		ValidArgsFunction: completeBundle,
		Short:             "Show what a bundle is; with its key, what is in it",
		Long: `Inspect shows a bundle's size, digest and kind of encryption. With the key it
opens the whole bundle, checks every digest, and lists the modules with their
options. Values of secret options are not shown.`,
	}
	key := keyFlag(c, openKeyUsage)
	c.RunE = func(c *cobra.Command, args []string) error {
		k, err := key()
		if err != nil {
			return err
		}
		var keys signature.Keys
		if verifyKey != "" {
			if keys, err = signature.ReadKeys(verifyKey); err != nil {
				return err
			}
		}
		i, err := packer.Inspect(c.Context(), args[0], bundle.Key{Secret: k, Iterations: iterations}, keys)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if asJSON {
			return p.printJSON(i)
		}
		printInspection(p.stdout, i)
		return nil
	}
	c.Flags().StringVar(&verifyKey, "verify-key", "", "fail unless a public key in this `FILE` signed the bundle")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	c.Flags().IntVar(&iterations, "openssl-iterations", 0, "of a bundle made with openssl enc -pbkdf2 -iter `N`")
	return c
}

func printInspection(w io.Writer, i *packer.Inspection) {
	fmt.Fprintf(w, "bundle          %s (%s)\n", i.Bundle, size(i.Bytes))
	fmt.Fprintf(w, "sha256          %s\n", i.SHA256)
	fmt.Fprintf(w, "encryption      %s\n", strings.TrimSpace(i.Encryption+" "+i.Derivation))
	if i.Manifest == nil {
		fmt.Fprintf(w, "contents        unknown without the key: give --key-file\n")
		return
	}
	fmt.Fprintf(w, "compression     %s\n", i.Compression)
	fmt.Fprintf(w, "content digest  %s\n", i.ContentDigest)
	switch {
	case i.Verified:
		fmt.Fprintf(w, "signed by       %s (verified)\n", i.SignedBy)
	case i.SignedBy != "":
		fmt.Fprintf(w, "signed by       %s, not verified: give --verify-key\n", i.SignedBy)
	default:
		fmt.Fprintf(w, "signed by       nobody: unsigned\n")
	}
	if i.ByHand {
		fmt.Fprintf(w, "name            none: made by hand, its modules run in the order of their names\n")
	} else {
		fmt.Fprintf(w, "name            %s (packed by %s)\n", i.Manifest.Name, i.Manifest.Packer)
	}
	for n, m := range i.Manifest.Modules {
		fmt.Fprintf(w, "\n%d. %s", n+1, m.Name)
		if m.Uses != "" {
			fmt.Fprintf(w, " (%s)", m.Uses)
		}
		fmt.Fprintf(w, " %s\n", m.Version)
		if m.Digest != "" {
			fmt.Fprintf(w, "   %s\n", m.Digest)
		}
		if m.Source != "" {
			fmt.Fprintf(w, "   from %s\n", m.Source)
		}
		if m.SignedBy != "" {
			fmt.Fprintf(w, "   signed by %s\n", m.SignedBy)
		}
		for _, name := range slices.Sorted(maps.Keys(m.Env)) {
			fmt.Fprintf(w, "   %s=%s\n", name, terminal.Safe(m.Env[name]))
		}
	}
}

func (p *program) unpackCommand() *cobra.Command {
	var iterations int
	var limits bundle.Limits
	c := &cobra.Command{
		Use:               "unpack BUNDLE DIR",
		ValidArgsFunction: completeBundle,
		Short:             "Open a bundle into a new folder",
		Long: `Unpack opens a bundle as the agent does. DIR must not exist: it appears when
the whole bundle was read and verified, or not at all.`,
	}
	key := keyFlag(c, openKeyUsage)
	c.RunE = func(c *cobra.Command, args []string) error {
		k, err := key()
		if err != nil {
			return err
		}
		contents, err := packer.Unpack(c.Context(), args[0], args[1], bundle.Key{Secret: k, Iterations: iterations}, limits)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		for _, m := range contents.Manifest.Modules {
			fmt.Fprintln(p.stdout, contents.ModuleDir(m))
		}
		return nil
	}
	c.Flags().IntVar(&iterations, "openssl-iterations", 0, "of a bundle made with openssl enc -pbkdf2 -iter `N`")
	c.Flags().Int64Var(&limits.Bytes, "max-bytes", bundle.DefaultMaxBytes, "refuse a bundle that unpacks to more bytes")
	c.Flags().Int64Var(&limits.Files, "max-files", bundle.DefaultMaxFiles, "refuse a bundle of more files")
	c.Flags().Int64Var(&limits.Ratio, "max-ratio", bundle.DefaultMaxRatio, "refuse a bundle that unpacks to more times its size")
	return c
}

func (p *program) keygenCommand() *cobra.Command {
	var out, public string
	var quantum, signing bool
	var passwordFile string
	c := &cobra.Command{
		Use:   "keygen",
		Short: "Make an age key that several bundles can be sealed for",
		Long: `Keygen writes a new age identity to FILE (mode 0600, never overwritten) and
prints its public key, for "startup-packer pack --recipient". The public key also
stands in FILE as a comment, and -y prints it again.

With --signing it makes a key that signs bundles, in the format of minisign: the
secret key in FILE, for "startup-packer pack --sign-key", the public key in
FILE.pub, for /etc/startup-agent/verify_keys in an image.`,
		Example: `  startup-packer keygen -o web.key
  startup-packer keygen -y web.key`,
		RunE: func(c *cobra.Command, _ []string) error {
			if public != "" {
				return p.publicKey(public)
			}
			if out == "" {
				return cmdline.Misuse(c, "no --output FILE given for the new key, and no -y FILE to show the public key of")
			}
			if signing {
				return p.keygenSigning(out, passwordFile)
			}
			identity, recipient, err := packer.Keygen(quantum)
			if err != nil {
				return err
			}
			if err := packer.WriteKey(out, identity); err != nil {
				return err
			}
			fmt.Fprintln(p.stdout, recipient)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "the new `FILE` for the identity")
	c.Flags().StringVarP(&public, "public", "y", "", "print the public key of the identity in this `FILE`, and make nothing")
	c.Flags().BoolVar(&quantum, "post-quantum", false, "make a hybrid key that also withstands quantum computers")
	c.Flags().BoolVar(&signing, "signing", false, "make a key that signs, and FILE.pub")
	c.Flags().StringVar(&passwordFile, "sign-password-file", "", "put the secret key of --signing under the password in this `FILE`")
	c.MarkFlagsMutuallyExclusive("signing", "post-quantum")
	c.MarkFlagsMutuallyExclusive("public", "output")
	return c
}

// publicKey prints the public key of an identity.
func (p *program) publicKey(file string) error {
	key, err := secret.ReadFile(file)
	if err != nil {
		return err
	}
	if !bundle.IsIdentity(key) {
		return fmt.Errorf("%s holds a passphrase, which has no public key", file)
	}
	recipient, err := bundle.RecipientOf(key)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, recipient)
	return nil
}
