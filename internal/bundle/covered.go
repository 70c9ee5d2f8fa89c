package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Signed returns the bytes of the manifest and of the signature over them, which
// is nil where the bundle has none. An archive without a manifest is an error:
// there is nothing to sign.
func (c *Contents) Signed() (manifest, signature []byte, err error) {
	if c.ByHand {
		return nil, nil, fmt.Errorf("%w: it was made by hand, and only a bundle with a %s can be signed: make it with startup-packer pack", ErrFormat, ManifestName)
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read bundle: %w", err)
	}
	defer root.Close()
	if manifest, err = readSmall(root, path.Join(c.Top, ManifestName), MaxManifest); err != nil {
		return nil, nil, err
	}
	signature, err = readSmall(root, path.Join(c.Top, SignatureName), MaxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest, nil, nil
	}
	return manifest, signature, err
}

// Covered reports what the folder holds that no digest of the manifest covers: a
// signature over the manifest says nothing of it, and a script could read it. It
// looks into the modules for which want returns true; a nil want means all.
func (c *Contents) Covered(ctx context.Context, want func(Module) bool) error {
	if c.Top != Top {
		return unsafe("its modules are not below %s/", Top)
	}
	if err := onlyHolds(c.Dir, map[string]fs.FileMode{Top: fs.ModeDir}); err != nil {
		return err
	}
	top := filepath.Join(c.Dir, Top)
	known := map[string]fs.FileMode{ManifestName: 0, SignatureName: 0}
	if c.Manifest.LibDigest != "" {
		known[LibName] = 0
	}
	for _, m := range c.Manifest.Modules {
		known[m.Folder()] = fs.ModeDir
	}
	if err := onlyHolds(top, known); err != nil {
		return err
	}
	for _, m := range c.Manifest.Modules {
		if want != nil && !want(m) {
			continue
		}
		if err := noneIgnored(ctx, c.ModuleDir(m)); err != nil {
			return err
		}
	}
	return nil
}

// onlyHolds reports the first entry of dir that is not wanted, or of another type.
func onlyHolds(dir string, want map[string]fs.FileMode) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
		kind, ok := want[e.Name()]
		return !ok || e.Type() != kind
	})
	if i >= 0 {
		return uncovered(entries[i].Name())
	}
	return nil
}

// noneIgnored finds what Scan leaves out, and with it every tree digest.
func noneIgnored(ctx context.Context, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		if err == nil && path != dir && ignored(d.Name()) {
			return uncovered(d.Name())
		}
		return err
	})
}

func uncovered(name string) error {
	return unsafe("it is signed, and holds %q, which its %s does not cover", name, ManifestName)
}
