// Package signature says who made something: an Ed25519 signature in the format
// of minisign, whose stock program makes and verifies the same files.
//
//	public key   a line of base64; its 64-bit key id is its short name
//	key file     public keys, one per line, with comments: see ParseKeys
//	secret key   a file of mode 0600, under a password or not
//	signature    four lines of text, at most MaxSignature bytes
//
// The comments of a signature, the one called trusted too, mean nothing here.
package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"aead.dev/minisign"
)

// MaxSignature is the largest signature, in bytes.
const MaxSignature = 4 << 10

// Errors of Verify.
var (
	// ErrUnsigned means that there is no signature.
	ErrUnsigned = errors.New("it is not signed")
	// ErrInvalid means that there is one that does not count.
	ErrInvalid = errors.New("its signature does not count")
)

// Keys are the public keys whose signatures count. The zero value trusts nobody.
type Keys []minisign.PublicKey

// ID writes a key's id as minisign shows it.
func ID(id uint64) string { return fmt.Sprintf("%016X", id) }

// IDs returns the ids of the keys.
func (k Keys) IDs() []string {
	ids := make([]string, len(k))
	for i, key := range k {
		ids[i] = ID(key.ID())
	}
	return ids
}

// Verify returns the id of the key among k that signed message. The errors are
// ErrUnsigned, where signature is empty, and ErrInvalid.
func (k Keys) Verify(message, signature []byte) (keyID string, err error) {
	s, err := parse(signature)
	if err != nil {
		return "", err
	}
	id := ID(s.KeyID)
	known := slices.ContainsFunc(k, func(key minisign.PublicKey) bool { return key.ID() == s.KeyID })
	if !known {
		return "", fmt.Errorf("%w: it says that key %s made it, which is not trusted here", ErrInvalid, id)
	}
	if !slices.ContainsFunc(k, func(key minisign.PublicKey) bool { return minisign.Verify(key, message, signature) }) {
		return "", fmt.Errorf("%w: key %s did not sign this: it was changed after it was signed, or the signature is another's", ErrInvalid, id)
	}
	return id, nil
}

// Claimed returns the id of the key that a signature says made it. Nothing is
// verified. The errors are those of Verify.
func Claimed(signature []byte) (keyID string, err error) {
	s, err := parse(signature)
	if err != nil {
		return "", err
	}
	return ID(s.KeyID), nil
}

func parse(signature []byte) (s minisign.Signature, err error) {
	switch {
	case len(signature) == 0:
		return s, ErrUnsigned
	case len(signature) > MaxSignature:
		return s, fmt.Errorf("%w: it is larger than %d bytes", ErrInvalid, MaxSignature)
	case s.UnmarshalText(signature) != nil:
		return s, fmt.Errorf("%w: it is not in the format of minisign", ErrInvalid)
	}
	return s, nil
}

// Sign signs message. What it returns is a whole signature file.
func (s SecretKey) Sign(message []byte) ([]byte, error) {
	r := minisign.NewReader(bytes.NewReader(message)) // hashed first, as minisign does
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return r.SignWithComments(s.key, "startup-packer", "signature of key "+s.ID()), nil
}
