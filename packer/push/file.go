package push

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"startup-bundle/internal/bundle"
)

// bundleFile is an open bundle that is read a second time, front to back, and
// notices when that gives other bytes than the first time.
type bundleFile struct {
	f      *os.File
	size   int64
	sha256 string // of what was read first
	second hash.Hash
}

var errChanged = errors.New("the file changed meanwhile: push it again, with --force")

// openBundle reads path whole. Whatever is no bundle is refused: a key file must
// not be uploaded by a slip of the hand.
func openBundle(path string) (*bundleFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &bundleFile{f: f, second: sha256.New()}
	if err := b.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return b, nil
}

func (b *bundleFile) read() error {
	head := make([]byte, 1024)
	n, err := io.ReadFull(b.f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := bundle.Identify(head[:n]); err != nil {
		return err
	}
	first := sha256.New()
	first.Write(head[:n])
	rest, err := io.Copy(first, b.f)
	if err != nil {
		return err
	}
	b.size, b.sha256 = int64(n)+rest, hex.EncodeToString(first.Sum(nil))
	_, err = b.f.Seek(0, io.SeekStart)
	return err
}

// Read is for the upload.
func (b *bundleFile) Read(p []byte) (int, error) {
	n, err := b.f.Read(p)
	b.second.Write(p[:n])
	return n, err
}

// unchanged says whether what was uploaded is what was read first.
func (b *bundleFile) unchanged() error {
	if hex.EncodeToString(b.second.Sum(nil)) != b.sha256 {
		return errChanged
	}
	return nil
}

// Close closes the file.
func (b *bundleFile) Close() error { return b.f.Close() }
