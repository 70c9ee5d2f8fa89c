package signature

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"aead.dev/minisign"

	"startup-bundle/internal/secret"
)

// maxSecret is the largest secret key file, in bytes.
const maxSecret = 4 << 10

// ErrPassword means that a secret key is under a password, and none was given or
// another.
var ErrPassword = errors.New("the password does not open this secret key")

// SecretKey signs. It prints as its id.
type SecretKey struct {
	key minisign.PrivateKey
}

// ID returns the key's id.
func (s SecretKey) ID() string { return ID(s.key.ID()) }

// String returns the key's id: a secret is never printed.
func (s SecretKey) String() string { return s.ID() }

// Format prints the id whatever the verb.
func (s SecretKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.ID()) }

// Generate makes a key: the secret key file's text, under password where that is
// set, and the public key file's.
func Generate(password secret.String) (secretFile secret.String, publicFile string, err error) {
	public, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return secret.String{}, "", fmt.Errorf("make key: %w", err)
	}
	var text []byte
	if password.IsSet() {
		text, err = minisign.EncryptKey(password.Reveal(), key)
	} else {
		text, err = key.MarshalText()
	}
	if err != nil {
		return secret.String{}, "", fmt.Errorf("make key: %w", err)
	}
	publicText, err := public.MarshalText()
	if err != nil {
		return secret.String{}, "", fmt.Errorf("make key: %w", err)
	}
	return secret.New(string(text)), string(publicText) + "\n", nil
}

// ReadSecretKey reads a secret key file. Where it is under a password, password is
// asked. Errors never quote the file.
func ReadSecretKey(path string, password func() (secret.String, error)) (SecretKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return SecretKey{}, fmt.Errorf("read signing key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return SecretKey{}, fmt.Errorf("read signing key: %w", err)
	}
	text = bytes.ReplaceAll(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	var s SecretKey
	if !minisign.IsEncrypted(text) {
		if s.key.UnmarshalText(text) != nil {
			return SecretKey{}, fmt.Errorf("read signing key %s: it is no secret key of minisign: make one with startup-packer keygen --signing", path)
		}
		return s, nil
	}
	word, err := password()
	if err != nil {
		return SecretKey{}, fmt.Errorf("read signing key %s: %w", path, err)
	}
	if s.key, err = minisign.DecryptKey(word.Reveal(), text); err != nil {
		return SecretKey{}, fmt.Errorf("read signing key %s: %w", path, ErrPassword)
	}
	return s, nil
}
