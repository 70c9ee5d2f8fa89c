package registry

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
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
)

// Pull fetches the module that ref names by digest, oci://HOST/REPOSITORY@sha256:…,
// and makes the new folder dest of it: the module's own files, without a folder
// around them. Manifest and layer are compared with their digests before anything
// is unpacked, the folder with its tree digest before it gets its name. When Pull
// fails, dest does not exist and nothing stays beside it.
//
// Errors: as Resolve's, and those of bundle.Unpack.
func (c *Client) Pull(ctx context.Context, ref, dest string) error {
	r, err := parse(ref)
	if err != nil {
		return err
	}
	if !r.pinned() {
		return fmt.Errorf("pull %s: name it by digest, @sha256:…, which is what the tag stands for now", r)
	}
	if _, err := os.Lstat(dest); err == nil {
		return fmt.Errorf("pull %s: %s is there already", r, dest)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pull %s: %w", r, err)
	}
	a, err := c.find(ctx, r)
	if err != nil {
		return c.explain("pull", r, err)
	}
	if err := c.pull(ctx, r, a, filepath.Clean(dest)); err != nil {
		return c.explain("pull module "+a.Name+" from", r, err)
	}
	return nil
}

func (c *Client) pull(ctx context.Context, r reference, a *artifact, dest string) error {
	if a.layer.Size > c.opts.Limits.Bytes {
		return fmt.Errorf("%w: its layer is of %d bytes and at most %d are read", bundle.ErrUnsafe, a.layer.Size, c.opts.Limits.Bytes)
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dest), "."+filepath.Base(dest)+".*") // the same filesystem: the end is a rename
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	layer, err := os.Create(filepath.Join(work, "layer"))
	if err != nil {
		return err
	}
	defer layer.Close()
	if err := c.download(ctx, r, a.layer, layer); err != nil {
		return err
	}
	dir := filepath.Join(work, "module")
	if err := bundle.UnpackModule(ctx, layer, dir, c.opts.Limits); err != nil {
		return err
	}
	if err := check(ctx, dir, a); err != nil {
		return err
	}
	return os.Rename(dir, dest)
}

// check compares an unpacked folder with what the manifest says of it: somebody may
// have put a manifest together that shows one module and carries another.
func check(ctx context.Context, dir string, a *artifact) error {
	tree, err := bundle.Scan(ctx, dir)
	if err != nil {
		return err
	}
	if a.TreeDigest != "" {
		if err := compare("tree", digest.Digest(a.TreeDigest), digest.Digest(tree.Digest())); err != nil {
			return err
		}
	}
	f, err := os.Open(filepath.Join(dir, module.SpecFile))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotModule, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, module.MaxSpec+1))
	if err != nil {
		return err
	}
	if err := compare(module.SpecFile, a.config.Digest, digest.FromBytes(text)); err != nil {
		return err
	}
	_, err = parseSpec(a, text)
	return err
}

// download fetches a blob into f, which is then at its beginning, and compares it
// with its size and digest. A connection that breaks half-way is tried again.
func (c *Client) download(ctx context.Context, r reference, d ocispec.Descriptor, f *os.File) error {
	const tries, wait = 3, 100 * time.Millisecond
	for try := 1; ; try++ {
		err := c.downloadOnce(ctx, r, d, f)
		var broke *brokenError
		if err == nil || !errors.As(err, &broke) || try == tries || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait << try):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// brokenError is a body that ended by an error or too soon.
type brokenError struct{ err error }

func (b *brokenError) Error() string { return b.err.Error() }
func (b *brokenError) Unwrap() error { return b.err }

func (c *Client) downloadOnce(ctx context.Context, r reference, d ocispec.Descriptor, f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	body, err := c.repository(r).Blobs().Fetch(ctx, d)
	if err != nil {
		return err
	}
	defer body.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(body, d.Size+1))
	got := digest.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	switch {
	case err != nil:
		return &brokenError{fmt.Errorf("its layer broke off after %d of %d bytes: %w", n, d.Size, err)}
	case n < d.Size:
		return &brokenError{fmt.Errorf("%w: its layer ends after %d of %d bytes; that is %s and should be %s", ErrMismatch, n, d.Size, got, d.Digest)}
	case n > d.Size:
		return fmt.Errorf("%w: its layer is longer than %d bytes; what came is %s and should be %s", ErrMismatch, d.Size, got, d.Digest)
	}
	if err := compare("layer", d.Digest, got); err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}
