package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
	"startup-bundle/packer/signing"
)

// signingKey reads a secret key. Its password, where it is under one, comes from
// passwordFile, else from the terminal.
func (p *program) signingKey(path, passwordFile string) (signature.SecretKey, error) {
	return signature.ReadSecretKey(path, func() (secret.String, error) {
		if passwordFile != "" {
			return secret.ReadFile(passwordFile)
		}
		fd := int(os.Stdin.Fd())
		if !term.IsTerminal(fd) {
			return secret.String{}, errors.New("it is under a password: give --sign-password-file")
		}
		fmt.Fprintf(p.stderr, "password of %s: ", path)
		word, err := term.ReadPassword(fd)
		fmt.Fprintln(p.stderr)
		if err != nil {
			return secret.String{}, fmt.Errorf("read password: %w", err)
		}
		return secret.New(string(word)), nil
	})
}

// keygenSigning makes a signing key: out and out.pub, both or none.
func (p *program) keygenSigning(out, passwordFile string) (err error) {
	var password secret.String
	if passwordFile != "" {
		if password, err = secret.ReadFile(passwordFile); err != nil {
			return err
		}
	}
	key, public, err := signature.Generate(password)
	if err != nil {
		return err
	}
	if err := secret.WriteFile(out, key); err != nil {
		return err
	}
	if err := files.WriteNew(out+".pub", []byte(public), 0o644); err != nil {
		return errors.Join(fmt.Errorf("write public key: %w", err), os.Remove(out))
	}
	fmt.Fprintln(p.stdout, strings.Split(public, "\n")[1])
	return nil
}

func (p *program) moduleSignCommand(modules *string) *cobra.Command {
	var signKey, passwordFile string
	c := &cobra.Command{
		Use:   "sign MODULE --sign-key FILE",
		Short: "Sign a module: its name, its version and all its files",
		Long: `Sign writes the file module.minisig into the module's folder and prints the id of
the key. Sign again after each change. MODULE is a folder's path, or a name in the
collection.`,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := moduleDir(*modules, args[0])
			if err != nil {
				return err
			}
			id, err := p.signModule(c.Context(), dir, signKey, passwordFile)
			if err != nil {
				return err
			}
			fmt.Fprintln(p.stdout, id)
			return nil
		},
	}
	c.Flags().StringVar(&signKey, "sign-key", "", "the `FILE` of the secret key")
	c.Flags().StringVar(&passwordFile, "sign-password-file", "", "the `FILE` with the password of --sign-key (default: asked on the terminal)")
	_ = c.MarkFlagRequired("sign-key") // fails only for a flag that does not exist
	return c
}

// signModule signs the module in dir and returns the key's id.
func (p *program) signModule(ctx context.Context, dir, signKey, passwordFile string) (id string, err error) {
	if dir, err = filepath.Abs(dir); err != nil { // its last component is the module's name
		return "", err
	}
	key, err := p.signingKey(signKey, passwordFile)
	if err != nil {
		return "", err
	}
	return key.ID(), signing.SignModule(ctx, dir, filepath.Base(dir), key)
}
