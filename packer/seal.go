package packer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
)

// The formats that Pack writes.
const (
	FormatAge     = "age"     // format version 1, for the agent
	FormatOpenSSL = "openssl" // for the shell recipe: no integrity of its own
)

// Seal says how a bundle is locked. Exactly one of KeyOut, Key, Passphrase and
// Recipients is given.
type Seal struct {
	Format     string        // FormatAge (also if empty) or FormatOpenSSL
	KeyOut     string        // make a fresh key and write it to this new file, mode 0600
	Key        secret.String // seal so that this key opens it: an age identity, or a passphrase
	Passphrase secret.String // seal under this passphrase
	Recipients []string      // seal for these age public keys
}

// ErrKeyExists means that the file for a fresh key is there already. It is never
// overwritten: it may be the only key to another bundle.
var ErrKeyExists = errors.New("there is a key file already")

// sealing is a settled Seal.
type sealing struct {
	format     string
	seal       func(io.Writer) (io.WriteCloser, error)
	to         []age.Recipient // of FormatAge
	fresh      secret.String   // a key made here, to be saved in file
	file       string
	recipients []string
}

func (s Seal) settle() (*sealing, error) {
	given := 0
	for _, is := range []bool{s.KeyOut != "", s.Key.IsSet(), s.Passphrase.IsSet(), len(s.Recipients) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return nil, errors.New("give one of a key file to write, a key, a passphrase, or recipients")
	}
	if _, err := os.Lstat(s.KeyOut); err == nil {
		return nil, fmt.Errorf("%w: %s: to seal with that key, give --key-file %s; for another fresh key, give --key-out FILE", ErrKeyExists, s.KeyOut, terminal.Quote(s.KeyOut))
	}
	switch identity := bundle.IsIdentity(s.Key); {
	case identity && s.Format == FormatOpenSSL:
		return nil, errors.New("openssl's format knows no age identities: give a key file that holds a passphrase")
	case identity:
		recipient, err := bundle.RecipientOf(s.Key)
		if err != nil {
			return nil, err
		}
		s.Recipients = []string{recipient}
	default:
		if s.Key.IsSet() {
			s.Passphrase = s.Key
		}
	}
	switch s.Format {
	case "", FormatAge:
		return s.settleAge()
	case FormatOpenSSL:
		return s.settleOpenSSL()
	}
	return nil, fmt.Errorf("format %q is neither %s nor %s", s.Format, FormatAge, FormatOpenSSL)
}

func (s Seal) settleAge() (*sealing, error) {
	k := &sealing{format: FormatAge, file: s.KeyOut, recipients: s.Recipients}
	var to []age.Recipient
	switch {
	case s.Passphrase.IsSet():
		r, err := bundle.PassphraseRecipient(s.Passphrase)
		if err != nil {
			return nil, err
		}
		to = append(to, r)
	case s.KeyOut != "":
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		k.fresh, k.recipients = secret.New(id.String()), []string{id.Recipient().String()}
		to = append(to, id.Recipient())
	}
	for _, text := range s.Recipients {
		r, err := bundle.Recipient(text)
		if err != nil {
			return nil, err
		}
		to = append(to, r)
	}
	k.to = to
	k.seal = func(w io.Writer) (io.WriteCloser, error) { return bundle.Seal(w, to...) }
	return k, nil
}

func (s Seal) settleOpenSSL() (*sealing, error) {
	k := &sealing{format: FormatOpenSSL, file: s.KeyOut}
	passphrase := s.Passphrase
	switch {
	case len(s.Recipients) > 0:
		return nil, errors.New("openssl's format knows no recipients: give a passphrase file, or a key file to write")
	case s.KeyOut != "":
		k.fresh = secret.New(rand.Text())
		passphrase = k.fresh
	}
	k.seal = func(w io.Writer) (io.WriteCloser, error) { return bundle.SealOpenSSL(w, passphrase) }
	return k, nil
}

// save writes the fresh key, if one was made.
func (k *sealing) save() error {
	if k.file == "" {
		return nil
	}
	return secret.WriteFile(k.file, k.fresh)
}

// unsave removes the key file again, after err: without its bundle it is of no use.
// It stays if the bundle has its name all the same.
func (k *sealing) unsave(err error) error {
	if k.file == "" || errors.Is(err, files.ErrUnsynced) {
		return err
	}
	return errors.Join(err, os.Remove(k.file))
}
