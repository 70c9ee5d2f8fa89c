package packer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/signature"
)

// Inspection is what Inspect finds. The fields after Encryption need the key.
type Inspection struct {
	Bundle        string           `json:"bundle"`
	Bytes         int64            `json:"bytes"`
	SHA256        string           `json:"sha256"` // of the file, hex: what userdata pins
	Encryption    string           `json:"encryption"`
	Compression   string           `json:"compression,omitempty"`
	Derivation    string           `json:"derivation,omitempty"`     // of an openssl bundle
	ContentDigest string           `json:"content_digest,omitempty"` // of the tar
	Manifest      *bundle.Manifest `json:"manifest,omitempty"`       // secret options redacted
	SignedBy      string           `json:"signed_by,omitempty"`      // key id, as the signature says; empty: unsigned
	Verified      bool             `json:"verified,omitempty"`       // the signature is of one of the keys asked about
	ByHand        bool             `json:"by_hand,omitempty"`        // there is no manifest: the modules were found
}

// Inspect reads a bundle: with a key it unpacks it, into a temporary folder
// that is gone when it returns, and checks every digest; without one it says
// what can be seen from outside. With keys it is an error where none of them signed
// the bundle, or the bundle holds what its signature does not cover.
func Inspect(ctx context.Context, path string, key bundle.Key, keys signature.Keys) (*Inspection, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i := &Inspection{Bundle: path}
	digest := sha256.New()
	if i.Bytes, err = io.Copy(digest, bundle.Until(ctx, f)); err != nil {
		return nil, err
	}
	i.SHA256 = hex.EncodeToString(digest.Sum(nil))
	head := make([]byte, 1024)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	kind, err := bundle.Identify(head[:n])
	if err != nil {
		return nil, err
	}
	i.Encryption, i.Compression = string(kind.Encryption), string(kind.Compression)
	if kind.Encryption != bundle.Plain && !key.Secret.IsSet() {
		if len(keys) > 0 {
			return nil, errors.New("the signature is inside the encryption: give the key too")
		}
		return i, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return i, i.open(ctx, f, key, keys)
}

func (i *Inspection) open(ctx context.Context, f io.Reader, key bundle.Key, keys signature.Keys) error {
	tmp, err := os.MkdirTemp("", "startup-inspect-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	r, err := bundle.Open(ctx, f, key)
	if err != nil {
		return err
	}
	defer r.Close()
	content := sha256.New()
	r.Tee(content)
	contents, err := bundle.Unpack(ctx, r, filepath.Join(tmp, "bundle"), bundle.Limits{})
	if err != nil {
		return err
	}
	if err := contents.Verify(ctx, nil); err != nil {
		return err
	}
	if err := i.signature(ctx, contents, keys); err != nil {
		return err
	}
	contents.Manifest.Modules = redact(contents.Manifest.Modules)
	i.Compression, i.Derivation = string(r.Kind().Compression), r.Kind().Derivation
	i.ContentDigest = "sha256:" + hex.EncodeToString(content.Sum(nil))
	i.Manifest, i.ByHand = contents.Manifest, contents.ByHand
	return nil
}

// signature notes who signed the bundle, and verifies it where keys are asked about.
func (i *Inspection) signature(ctx context.Context, c *bundle.Contents, keys signature.Keys) error {
	if c.ByHand && len(keys) == 0 {
		return nil
	}
	manifest, text, err := c.Signed()
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		if i.SignedBy, err = keys.Verify(manifest, text); err != nil {
			return err
		}
		i.Verified = true
		return c.Covered(ctx, nil)
	}
	i.SignedBy, err = signature.Claimed(text)
	if errors.Is(err, signature.ErrUnsigned) {
		return nil
	}
	return err
}

// openFile opens a bundle to read. It never waits for who writes to a named pipe.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// Opens returns nil if key opens the bundle at path. It reads no more than the beginning.
func Opens(ctx context.Context, path string, key bundle.Key) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := bundle.Open(ctx, f, key)
	if err != nil {
		return err
	}
	r.Close()
	return nil
}

// Unpack opens the bundle at path into the new folder dir.
func Unpack(ctx context.Context, path, dir string, key bundle.Key, limits bundle.Limits) (*bundle.Contents, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already: name a new folder", dir)
	}
	r, err := bundle.Open(ctx, f, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	contents, err := bundle.Unpack(ctx, r, dir, limits)
	if err != nil {
		return nil, err
	}
	if err := contents.Verify(ctx, nil); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return contents, nil
}
