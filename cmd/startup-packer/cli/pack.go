package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
	"startup-bundle/internal/version"
	"startup-bundle/packer"
)

func (p *program) packCommand() *cobra.Command {
	o := packer.Options{Version: version.String()}
	var keyFile, passphraseFile, signKey, signPassword string
	var asJSON bool
	c := &cobra.Command{
		Use:   "pack SOURCE -o BUNDLE",
		Short: "Make a bundle from a personality file or a folder of modules",
		Long: `Pack makes one encrypted bundle of the modules that SOURCE lists: a personality
file, or a folder of modules (all of them, in the order of their names).

Without another choice it makes a fresh key for this bundle and writes it to a
new file, BUNDLE.key. The key is never printed: give the file to
"startup-packer userdata". A key file is never overwritten: to pack again, give
it with --key-file.`,
		Example: `  startup-packer pack web.yaml -o web.bundle
  startup-packer pack web.yaml -o web.bundle --key-file web.bundle.key
  startup-packer pack modules/ -o all.bundle --passphrase-file pass.txt --format openssl`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Source = args[0]
			if passphraseFile != "" {
				if o.Seal.Passphrase, err = secret.ReadFile(passphraseFile); err != nil {
					return err
				}
			}
			if keyFile != "" {
				if o.Seal.Key, err = secret.ReadFile(keyFile); err != nil {
					return err
				}
			}
			if o.Seal.KeyOut == "" && keyFile == "" && passphraseFile == "" && len(o.Seal.Recipients) == 0 {
				o.Seal.KeyOut = o.Output + ".key"
			}
			if o.Sign = signKey != ""; o.Sign {
				if o.SignKey, err = p.signingKey(signKey, signPassword); err != nil {
					return err
				}
			}
			o.Note = func(line string) { fmt.Fprintln(p.stderr, line) }
			bar := newBar(p.stderr, "packing")
			o.Progress = bar.report
			result, err := packer.Pack(c.Context(), o)
			bar.end()
			if err != nil {
				return err
			}
			if asJSON {
				return p.printJSON(result)
			}
			printPacked(p.stdout, result)
			p.next("startup-packer push %s s3://BUCKET/%s", terminal.Quote(result.Bundle), terminal.Quote(filepath.Base(result.Bundle)))
			return nil
		},
	}
	c.Flags().StringVarP(&o.Output, "output", "o", "", "the bundle `FILE` to write")
	c.Flags().StringVar(&o.Modules, "modules", "", "look modules up in this `DIR` first, then in modules/ beside SOURCE or above it, then among the standard ones")
	c.Flags().StringVar(&o.Seal.KeyOut, "key-out", "", "write the fresh key to this new `FILE` (default: BUNDLE.key)")
	c.Flags().StringVar(&keyFile, "key-file", "", "seal with the key in this `FILE`, an age identity or a passphrase")
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "seal under the passphrase in this `FILE`")
	c.Flags().StringArrayVar(&o.Seal.Recipients, "recipient", nil, "seal for this age public `KEY`; may be repeated")
	c.Flags().StringVar(&o.Seal.Format, "format", packer.FormatAge, "age, or openssl for the shell recipe")
	c.Flags().StringVar(&signKey, "sign-key", "", "sign the bundle with the secret key in this `FILE`")
	c.Flags().StringVar(&signPassword, "sign-password-file", "", "the `FILE` with the password of --sign-key (default: asked on the terminal)")
	c.Flags().BoolVar(&o.Locked, "locked", false, "take modules from elsewhere as the lock has them: resolve nothing, change no lock")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmdline.OneOf(c, "format", packer.FormatAge, packer.FormatOpenSSL)
	c.MarkFlagsMutuallyExclusive("key-out", "key-file", "passphrase-file", "recipient")
	_ = c.MarkFlagRequired("output") // fails only for a flag that does not exist
	return c
}

func printPacked(w io.Writer, r *packer.Result) {
	fmt.Fprintf(w, "bundle          %s (%s)\n", r.Bundle, size(r.Bytes))
	fmt.Fprintf(w, "sha256          %s\n", r.SHA256)
	fmt.Fprintf(w, "content digest  %s\n", r.ContentDigest)
	names := make([]string, len(r.Modules))
	for i, m := range r.Modules {
		names[i] = m.Name
	}
	fmt.Fprintf(w, "modules         %s (%d files, %s unpacked)\n", strings.Join(names, ", "), r.Files, size(r.Unpacked))
	if r.SignedBy != "" {
		fmt.Fprintf(w, "signed by       %s\n", r.SignedBy)
	}
	if r.KeyFile != "" {
		fmt.Fprintf(w, "key file        %s\n", r.KeyFile)
	}
}

// bar shows progress on a terminal, once a run takes long enough to notice.
type bar struct {
	w     io.Writer
	label string
	began time.Time
	drawn time.Time
}

func newBar(w *terminal.Writer, label string) *bar {
	b := &bar{label: label, began: time.Now()}
	if f, ok := w.File(); ok && isTerminal(f) {
		b.w = w.Raw()
	}
	return b
}

func (b *bar) report(done, total int64) {
	const patience, interval, width = time.Second, 100 * time.Millisecond, 30
	now := time.Now()
	if b.w == nil || total == 0 || now.Sub(b.began) < patience || now.Sub(b.drawn) < interval {
		return
	}
	b.drawn = now
	full := int(width * done / total)
	fmt.Fprintf(b.w, "\r%s [%s%s] %s of %s\x1b[K", b.label, strings.Repeat("#", full), strings.Repeat(".", width-full), size(done), size(total))
}

func (b *bar) end() {
	if b.w != nil && !b.drawn.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// size writes a number of bytes as people read it, in powers of 1000.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
