package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"startup-bundle/internal/files"
	"startup-bundle/internal/module"
)

// Contents is an unpacked bundle.
type Contents struct {
	Dir      string    // the folder
	Top      string    // relative to Dir: the folder that holds the modules; Top or "."
	Manifest *Manifest // made up from the folders where the archive has none
	ByHand   bool      // the archive has no manifest
	Ignored  []string  // folders without a start script, where there is no manifest
}

// ModuleDir returns the absolute or dest-relative folder of a module.
func (c *Contents) ModuleDir(m Module) string {
	return filepath.Join(c.Dir, filepath.FromSlash(c.Top), m.Folder())
}

// Lib returns the path of the shell library, or "" where the bundle has none.
func (c *Contents) Lib() string {
	p := filepath.Join(c.Dir, filepath.FromSlash(c.Top), LibName)
	if info, err := os.Lstat(p); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return p
}

// Sync makes the folder durable: its filesystem is written out, then its name.
// Until it has returned, a power cut may leave files empty; Verify sees that,
// except in a bundle made by hand, which has no digests.
func (c *Contents) Sync() error {
	if err := syncFilesystem(c.Dir); err != nil {
		return fmt.Errorf("sync bundle: %w", err)
	}
	return files.SyncDir(filepath.Dir(c.Dir))
}

// Load reads a folder that Unpack made.
func Load(ctx context.Context, dir string) (*Contents, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	defer root.Close()
	c, err := read(ctx, root)
	if err != nil {
		return nil, err
	}
	c.Dir = dir
	return c, nil
}

// Verify reads the shell library and every file of the modules, and compares
// their digests with the manifest's. It looks at the modules for which want returns
// true; a nil want means all. A bundle made by hand has no digests to compare with.
func (c *Contents) Verify(ctx context.Context, want func(Module) bool) error {
	if c.ByHand {
		return nil
	}
	for _, m := range c.Manifest.Modules {
		if want != nil && !want(m) {
			continue
		}
		t, err := Scan(ctx, c.ModuleDir(m))
		if err != nil {
			return err
		}
		if got := t.Digest(); got != m.Digest {
			return fmt.Errorf("%w: module %s is %s and should be %s", ErrDamaged, m.Name, got, m.Digest)
		}
	}
	return c.verifyLib()
}

func (c *Contents) verifyLib() error {
	want := c.Manifest.LibDigest
	if want == "" {
		return nil
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	lib, err := readSmall(root, path.Join(c.Top, LibName), MaxLib)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing", ErrDamaged, LibName)
	}
	if err != nil {
		return err
	}
	if got := libDigest(lib); got != want {
		return fmt.Errorf("%w: %s is %s and should be %s", ErrDamaged, LibName, got, want)
	}
	return nil
}

func read(ctx context.Context, root *os.Root) (*Contents, error) {
	if info, err := root.Stat(Top); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: its %s is not a folder", ErrFormat, Top)
	}
	for _, top := range []string{Top, "."} {
		text, err := readSmall(root, path.Join(top, ManifestName), MaxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := ParseManifest(text)
		if err != nil {
			return nil, err
		}
		return &Contents{Top: top, Manifest: m}, checkFolders(ctx, root, top, m)
	}
	return readByHand(ctx, root)
}

// readSmall reads a file of at most limit bytes.
func readSmall(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, notSmall(path.Base(name), limit)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

func notSmall(name string, limit int64) error {
	return fmt.Errorf("%w: its %s is not a file, or is larger than %d bytes", ErrFormat, name, limit)
}

func checkFolders(ctx context.Context, root *os.Root, top string, m *Manifest) error {
	for _, mod := range m.Modules {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		if info, err := root.Stat(path.Join(top, mod.Folder(), module.Start)); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("%w: %s lists module %s, and %s/%s is not a file", ErrFormat, ManifestName, mod.Name, mod.Folder(), module.Start)
		}
	}
	return nil
}

// maxFolder leaves room in a file name of 255 bytes for what a log's name adds.
const maxFolder = 240

// readByHand finds the modules of an archive without a manifest: the folders
// with a start script, in byte order, below one top folder or none.
func readByHand(ctx context.Context, root *os.Root) (*Contents, error) {
	top := "."
	folders, err := foldersOf(root, top)
	if err != nil {
		return nil, err
	}
	if len(folders) == 1 && startOf(root, folders[0]) == "" {
		top = folders[0]
		if folders, err = foldersOf(root, top); err != nil {
			return nil, err
		}
	}
	c := &Contents{Top: top, ByHand: true, Manifest: &Manifest{FormatVersion: FormatVersion, Name: "by hand"}}
	seen := map[string]string{}
	for _, name := range folders {
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		if startOf(root, path.Join(top, name)) == "" {
			c.Ignored = append(c.Ignored, name)
			continue
		}
		if len(name) > maxFolder {
			return nil, unsafe("the folder name %.40q… is longer than %d bytes, and the module's log is named for it", name, maxFolder)
		}
		if twin, ok := seen[strings.ToLower(name)]; ok {
			return nil, unsafe("the folders %q and %q differ only in capital letters", twin, name)
		}
		seen[strings.ToLower(name)] = name
		c.Manifest.Modules = append(c.Manifest.Modules, Module{Name: name})
	}
	if len(c.Manifest.Modules) > MaxModules {
		return nil, tooManyModules()
	}
	if len(c.Manifest.Modules) == 0 {
		return nil, fmt.Errorf("%w: it holds no module: no folder with a file named %s", ErrFormat, module.Start)
	}
	return c, nil
}

func foldersOf(root *os.Root, dir string) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func startOf(root *os.Root, dir string) string {
	for _, name := range []string{module.Start, module.StartShell} {
		if info, err := root.Stat(path.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

// Command returns the program and arguments that start a module: its start
// script, or, where the archive has no manifest, bash with its start.sh.
func (c *Contents) Command(m Module) (program string, args []string) {
	dir := c.ModuleDir(m)
	start := filepath.Join(dir, module.Start)
	if _, err := os.Lstat(start); err != nil && c.ByHand {
		return "/bin/bash", []string{filepath.Join(dir, module.StartShell)}
	}
	return start, nil
}
