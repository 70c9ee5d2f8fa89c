package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// WriteModule writes one module's folder to w as zstd(tar), below a top folder
// called name. The same tree gives the same tar: entries in byte order of their
// names, all of the time modTime (zero: the epoch), owner 0:0, modes 0755 and 0644.
// A file that changed since Scan is an error.
func WriteModule(w io.Writer, tree *Tree, name string, modTime time.Time) error {
	compressed, err := compress(nopCloser{w})
	if err != nil {
		return err
	}
	if modTime.IsZero() {
		modTime = time.Unix(0, 0)
	}
	out := &archiveWriter{tar: tar.NewWriter(compressed), digest: sha256.New(), modTime: modTime}
	out.tree(name, tree)
	if out.err == nil {
		out.err = out.tar.Close()
	}
	if out.err == nil {
		out.err = compressed.Close()
	}
	if out.err != nil {
		return fmt.Errorf("write module %s: %w", name, out.err)
	}
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// UnpackModule makes the new folder dest of an archive that holds one module below
// one top folder: the module's own files. It unpacks as Unpack does.
func UnpackModule(ctx context.Context, raw io.Reader, dest string, limits Limits) (err error) {
	r, err := Open(raw, Key{})
	if err != nil {
		return err
	}
	defer r.Close()
	around := dest + ".around"
	c, err := Unpack(ctx, r, around, limits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(around)) }()
	if !c.ByHand || c.Top != "." || len(c.Manifest.Modules) != 1 || len(c.Ignored) > 0 {
		return fmt.Errorf("%w: it holds something else than one module", ErrFormat)
	}
	return os.Rename(filepath.Join(around, c.Manifest.Modules[0].Name), dest)
}
