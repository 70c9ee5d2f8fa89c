package packer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"startup-bundle/internal/files"
)

// output is a file that appears under its name only when it is whole and on disk.
type output struct {
	f      *files.File
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

// newOutput begins a bundle's file. Its mode is the usual one: a bundle is encrypted,
// and a web server must be able to read it.
func newOutput(path string) (*output, error) {
	f, err := files.Create(path, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return &output{f: f, digest: sha256.New()}, nil
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.f.Write(p)
	o.digest.Write(p[:n])
	o.n += int64(n)
	return n, err
}

func (o *output) sum() string { return hex.EncodeToString(o.digest.Sum(nil)) }

func (o *output) commit() error {
	if err := o.f.Commit(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// abandon removes what commit did not name. It may follow commit.
func (o *output) abandon() { o.f.Abandon() }

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
