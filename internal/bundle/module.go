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
// one top folder: the module's own files. It unpacks as Unpack does, and no link may
// lead out of that folder.
func UnpackModule(ctx context.Context, raw io.Reader, dest string, limits Limits) (err error) {
	r, err := Open(ctx, raw, Key{})
	if err != nil {
		return err
	}
	defer r.Close()
	around := dest + ".around"
	var name string
	_, err = Unpack(ctx, r, around, limits, func(c *Contents) error {
		if !c.ByHand || c.Top != "." || len(c.Manifest.Modules) != 1 || len(c.Ignored) > 0 {
			return fmt.Errorf("%w: it does not hold one module alone", ErrFormat)
		}
		name = c.Manifest.Modules[0].Name
		return confined(ctx, filepath.Join(c.Dir, name))
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanUp(ctx, around)) }()
	return os.Rename(filepath.Join(around, name), dest)
}

// confined refuses a folder if a link in it leads out of it.
func confined(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	inside, err := linksOf(ctx, root)
	if err != nil {
		return err
	}
	return inside.check(ctx, root)
}
