package packer

import (
	"fmt"

	"filippo.io/age"

	"startup-bundle/internal/secret"
)

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
