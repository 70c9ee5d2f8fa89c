package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"startup-bundle/internal/secret"
)

// ErrNotResealable means that a bundle is not encrypted with age, so that it has to be
// packed again to get another key.
var ErrNotResealable = errors.New("only a bundle of the age format can be resealed: pack it again with the new key")

// Reseal copies the bundle in raw, which key opens, to w, encrypted for the recipients.
// What is inside the encryption stays the same, byte for byte, and is not decompressed.
// Only after a nil error is w a bundle: raw was then authenticated to its end.
func Reseal(w io.Writer, raw io.Reader, key secret.String, recipients ...age.Recipient) error {
	in := bufio.NewReaderSize(&counter{r: raw}, headSize)
	head, err := peek(in)
	if err != nil {
		return err
	}
	kind, err := Identify(head)
	switch {
	case err != nil:
		return err
	case kind.Encryption != AgeRecipient && kind.Encryption != AgePassphrase:
		return fmt.Errorf("%w (this one: %s)", ErrNotResealable, kind.Encryption)
	case !key.IsSet():
		return fmt.Errorf("%w: it is encrypted (%s) and no key is given", ErrKey, kind.Encryption)
	}
	opened, err := openAge(in, kind.Encryption, key)
	if err != nil {
		return err
	}
	plain := bufio.NewReaderSize(opened, aheadSize)
	if head, err = plain.Peek(headSize); err != nil && !isEnd(err) {
		return err
	}
	if compressionOf(head) == "" {
		return unknownFormat(head)
	}
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if _, err := io.Copy(sealed, plain); err != nil {
		return err // without a Close: the last chunk would vouch for half a bundle
	}
	return sealed.Close()
}
