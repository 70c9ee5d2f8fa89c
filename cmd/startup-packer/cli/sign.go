package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
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
	if err := writeNew(out+".pub", public); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	fmt.Fprintln(p.stdout, strings.Split(public, "\n")[1])
	return nil
}

// writeNew makes a new file that everybody may read.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write public key: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write public key: %w", err), os.Remove(path))
	}
	return nil
}
