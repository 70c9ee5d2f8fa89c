package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"startup-bundle/internal/secret"

	"filippo.io/age"
)

const (
	ageIntro = "age-encryption.org/v1\n"

	// WriteWorkFactor is log2 of the scrypt cost of the passphrase bundles that
	// Seal writes: 32 MiB and about 0.15 s, fit for the smallest instance.
	WriteWorkFactor = 15
	// MaxWorkFactor is the highest that Open accepts, what stock "age -p"
	// writes: 256 MiB and about a second. An attacker could ask for days.
	MaxWorkFactor = 18
)

// ageKind tells from the first stanza whether a passphrase or an identity opens
// an age file: a scrypt stanza stands alone in its header, says the age format.
func ageKind(head []byte) Encryption {
	if bytes.HasPrefix(head, []byte(ageIntro+"-> scrypt ")) {
		return AgePassphrase
	}
	return AgeRecipient
}

// IsIdentity reports whether a key is an age identity and not a passphrase.
func IsIdentity(key secret.String) bool {
	return strings.HasPrefix(key.Reveal(), "AGE-SECRET-KEY-")
}

// Identity reads an age identity, X25519 or post-quantum hybrid.
func Identity(key secret.String) (age.Identity, error) {
	var id age.Identity
	var err error
	if strings.HasPrefix(key.Reveal(), "AGE-SECRET-KEY-PQ-1") {
		id, err = age.ParseHybridIdentity(key.Reveal())
	} else {
		id, err = age.ParseX25519Identity(key.Reveal())
	}
	if err != nil { // age's text may quote the identity
		return nil, fmt.Errorf("%w: it is not a valid age identity: one line, as startup-packer keygen or age-keygen wrote it", ErrKey)
	}
	return id, nil
}

// RecipientOf returns the public key of an age identity.
func RecipientOf(identity secret.String) (string, error) {
	id, err := Identity(identity)
	if err != nil {
		return "", err
	}
	switch id := id.(type) {
	case *age.X25519Identity:
		return id.Recipient().String(), nil
	case *age.HybridIdentity:
		return id.Recipient().String(), nil
	}
	return "", fmt.Errorf("%w: it is an identity of a kind that has no public key here", ErrKey)
}

func openAge(in io.Reader, kind Encryption, key secret.String) (io.Reader, error) {
	var id age.Identity
	var err error
	switch {
	case IsIdentity(key) && kind == AgePassphrase:
		return nil, fmt.Errorf("%w: it is sealed with a passphrase, and the key is an age identity", ErrKey)
	case IsIdentity(key):
		id, err = Identity(key)
	case kind == AgeRecipient:
		return nil, fmt.Errorf("%w: it is sealed for an age identity, and the key is a passphrase", ErrKey)
	default:
		id, err = passphraseIdentity(key)
	}
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(in, id)
	var noMatch *age.NoIdentityMatchError
	switch {
	case err == nil:
		return &ageStream{plain}, nil
	case errors.Is(err, ErrFormat), isBelow(err):
		return nil, err
	case errors.As(err, &noMatch):
		return nil, fmt.Errorf("%w: wrong key", ErrKey)
	}
	return nil, fmt.Errorf("%w: its header: %w", ErrDamaged, err)
}

// boundedScrypt refuses a work factor above MaxWorkFactor with an error that
// says what it would cost; age's own only says that it is too large.
type boundedScrypt struct{ *age.ScryptIdentity }

func passphraseIdentity(key secret.String) (age.Identity, error) {
	id, err := age.NewScryptIdentity(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: the passphrase is empty", ErrKey)
	}
	id.SetMaxWorkFactor(MaxWorkFactor)
	return boundedScrypt{id}, nil
}

func (b boundedScrypt) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != "scrypt" || len(s.Args) != 2 {
			continue
		}
		if n, err := strconv.Atoi(s.Args[1]); err == nil && n > MaxWorkFactor {
			return nil, fmt.Errorf("%w: its passphrase has a scrypt work factor of 2^%d, and more than 2^%d would keep a small instance from booting: seal it again with startup-packer", ErrFormat, n, MaxWorkFactor)
		}
	}
	return b.ScryptIdentity.Unwrap(stanzas)
}

// ageStream gives age's stream errors their meaning: whatever is not the
// layer below's is tampering or truncation.
type ageStream struct{ r io.Reader }

func (a *ageStream) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if err != nil && !isEnd(err) && !isBelow(err) {
		err = fmt.Errorf("%w: truncated or tampered with: %w", ErrDamaged, err)
	}
	return n, err
}

// isEnd reports whether err is the end of a stream. An error that only wraps
// io.EOF, as a transport's may, is none: half a bundle would pass for a whole one.
func isEnd(err error) bool {
	return err == io.EOF
}

// belowError marks an error of the raw stream, so that no layer above takes it
// for damage.
type belowError struct{ err error }

func (e *belowError) Error() string { return e.err.Error() }
func (e *belowError) Unwrap() error { return e.err }

// isBelow reports whether err already has its meaning: it comes from the raw
// stream, from a layer below, or from Close.
func isBelow(err error) bool {
	var below *belowError
	return errors.As(err, &below) || errors.Is(err, errClosed) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrKey)
}

// counter counts what is read from the raw stream and marks its errors.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	if err != nil && err != io.EOF {
		err = &belowError{err}
	}
	return n, err
}
