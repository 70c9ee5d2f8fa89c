package packer

import (
	"fmt"

	"filippo.io/age"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"
)

// WriteKey makes a new key file, mode 0600, for a key that people look after. An age
// identity's public key stands in it as a comment, for --recipient. The key that Pack
// makes for one bundle stands alone on its line, as scripts take it.
func WriteKey(path string, key secret.String) error {
	if !bundle.IsIdentity(key) {
		return secret.WriteFile(path, key)
	}
	recipient, err := bundle.RecipientOf(key)
	if err != nil {
		return err
	}
	return secret.WriteFile(path, key, "public key: "+recipient)
}

// Keygen makes an age identity and the recipient to pack for: X25519, or with
// quantum the hybrid that also withstands a quantum computer (its recipients
// cannot be mixed with X25519 ones in one bundle).
func Keygen(quantum bool) (identity secret.String, recipient string, err error) {
	if quantum {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return secret.String{}, "", fmt.Errorf("make key: %w", err)
		}
		return secret.New(id.String()), id.Recipient().String(), nil
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return secret.String{}, "", fmt.Errorf("make key: %w", err)
	}
	return secret.New(id.String()), id.Recipient().String(), nil
}
