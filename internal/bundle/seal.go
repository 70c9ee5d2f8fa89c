package bundle

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"startup-bundle/internal/secret"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Seal returns a writer that takes tar bytes and writes a bundle of format
// version 1 to w, sealed for the recipients. Close ends the bundle; w stays the
// caller's. What was written without a Close that succeeded is no bundle.
func Seal(w io.Writer, recipients ...age.Recipient) (io.WriteCloser, error) {
	if len(recipients) == 0 {
		return nil, errors.New("seal: no recipient")
	}
	encrypted, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return compress(encrypted)
}

// SealOpenSSL returns a writer like Seal's for the shell recipe: the tar as it
// is inside "openssl enc -aes-256-cbc -k PASSPHRASE". It is not compressed:
// tar x does not look for compression in a pipe.
func SealOpenSSL(w io.Writer, passphrase secret.String) (io.WriteCloser, error) {
	return sealSalted(w, []byte(passphrase.Reveal()))
}

// PassphraseRecipient seals under a passphrase, at WriteWorkFactor.
func PassphraseRecipient(passphrase secret.String) (age.Recipient, error) {
	r, err := age.NewScryptRecipient(passphrase.Reveal())
	if err != nil {
		return nil, errors.New("the passphrase is empty")
	}
	r.SetWorkFactor(WriteWorkFactor)
	return r, nil
}

// Recipient reads a public key: age1… or age1pq1….
func Recipient(text string) (age.Recipient, error) {
	recipients, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(recipients) != 1 {
		return nil, fmt.Errorf("%q is not an age recipient: it starts with age1", text)
	}
	return recipients[0], nil
}

// layered closes a writer and then the one it writes to.
type layered struct {
	io.WriteCloser
	below io.Closer
}

func compress(w io.WriteCloser) (io.WriteCloser, error) {
	// One frame, checksummed, the window bounded: docs/bundle-format.md. Its
	// bytes may differ between versions of the library; the content digest is
	// taken over the tar for that reason.
	z, err := zstd.NewWriter(w, zstd.WithWindowSize(WriteWindow), zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &layered{z, w}, nil
}

// Close leaves the layer below open when the one above did not end well: age's
// last chunk would vouch for half an archive.
func (l *layered) Close() error {
	if err := l.WriteCloser.Close(); err != nil {
		return err
	}
	return l.below.Close()
}
