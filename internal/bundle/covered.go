package bundle

import (
	"fmt"
	"io"
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
	if manifest, err = readSmall(root, path.Join(c.Top, ManifestName)); err != nil {
		return nil, nil, err
	}
	name := path.Join(c.Top, SignatureName)
	info, err := root.Lstat(name)
	switch {
	case os.IsNotExist(err):
		return manifest, nil, nil
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular() || info.Size() > MaxSignature:
		return nil, nil, fmt.Errorf("%w: its %s is no file of at most %d bytes", ErrFormat, SignatureName, MaxSignature)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	signature, err = io.ReadAll(io.LimitReader(f, MaxSignature))
	return manifest, signature, err
}

// Covered reports what the folder holds that no digest of the manifest covers: a
// signature over the manifest says nothing of it, and a script could read it. Of
// the modules, it looks into those that which asks for, nil for all.
func (c *Contents) Covered(which func(Module) bool) error {
	if c.Top != Top {
		return unsafe("its modules are not below %s/", Top)
	}
	if err := onlyHolds(c.Dir, map[string]fs.FileMode{Top: fs.ModeDir}); err != nil {
		return err
	}
	top := filepath.Join(c.Dir, Top)
	want := map[string]fs.FileMode{ManifestName: 0, SignatureName: 0}
	if c.Manifest.LibDigest != "" {
		want[LibName] = 0
	}
	for _, m := range c.Manifest.Modules {
		want[m.Folder()] = fs.ModeDir
	}
	if err := onlyHolds(top, want); err != nil {
		return err
	}
	for _, m := range c.Manifest.Modules {
		if which != nil && !which(m) {
			continue
		}
		if err := noneIgnored(c.ModuleDir(m)); err != nil {
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
func noneIgnored(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != dir && ignored(d.Name()) {
			return uncovered(d.Name())
		}
		return err
	})
}

func uncovered(name string) error {
	return unsafe("it is signed, and holds %q, which its %s does not cover", name, ManifestName)
}
