package packer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"startup-bundle/internal/bundle"
)

// output is a file that appears under its name only when it is whole and on disk.
type output struct {
	f      *os.File
	path   string
	digest hash.Hash
	n      int64
}

// writable says early what newOutput would say late. It leaves nothing behind.
func writable(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("write bundle: %s is a folder: name a file", path)
	}
	dir := filepath.Dir(path)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("write bundle: folder %s: %w", dir, err)
	}
	return nil
}

func newOutput(path string) (*output, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return &output{f: f, path: path, digest: sha256.New()}, nil
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.f.Write(p)
	o.digest.Write(p[:n])
	o.n += int64(n)
	return n, err
}

func (o *output) sum() string { return hex.EncodeToString(o.digest.Sum(nil)) }

// commit makes the file durable and gives it its name and usual mode: a bundle
// is encrypted, and a web server must be able to read it.
func (o *output) commit() error {
	err := errors.Join(o.f.Chmod(0o644), o.f.Sync(), o.f.Close())
	if err == nil {
		err = os.Rename(o.f.Name(), o.path)
	}
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	o.f = nil
	return bundle.SyncDir(filepath.Dir(o.path))
}

// abandon removes what commit did not name. It may follow commit.
func (o *output) abandon() {
	if o.f != nil {
		_ = o.f.Close()
		_ = os.Remove(o.f.Name())
	}
}

// meter reports progress and ends a long write when ctx ends.
type meter struct {
	ctx    context.Context //nolint:containedctx // lives for one Write of an archive
	w      io.Writer
	done   int64
	total  int64
	report func(done, total int64)
}

func (m *meter) Write(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.w.Write(p)
	if m.done += int64(n); m.report != nil {
		m.report(min(m.done, m.total), m.total)
	}
	return n, err
}
