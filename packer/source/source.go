// Package source finds the modules that a personality names.
package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"startup-bundle/internal/module"
)

// Folders says where names are looked up.
type Folders struct {
	Base    string // the personality's folder: ./site is relative to it
	Modules string // the collection: a plain name is a folder of it; empty: there is none
}

// Locate returns the folder of the module ref: a plain name, or a path that
// starts with ./, ../ or /.
func (f Folders) Locate(ref string) (dir, name string, err error) {
	switch {
	case ref == "":
		return "", "", errors.New("a module without a name")
	case strings.HasPrefix(ref, "./"), strings.HasPrefix(ref, "../"):
		dir = filepath.Join(f.Base, filepath.FromSlash(ref))
	case filepath.IsAbs(ref):
		dir = filepath.Clean(ref)
	case module.CheckName(ref) != nil:
		return "", "", fmt.Errorf("%w; a folder is written ./%s", module.CheckName(ref), ref)
	case f.Modules == "":
		return "", "", fmt.Errorf("module %s: there is no modules folder beside the personality or above it: name one with --modules DIR, or write a folder as ./%s", ref, ref)
	default:
		dir = filepath.Join(f.Modules, ref)
	}
	if err := isModule(dir); err != nil {
		return "", "", fmt.Errorf("module %s: %w", ref, err)
	}
	return dir, filepath.Base(dir), nil
}

func isModule(dir string) error {
	info, err := os.Stat(filepath.Join(dir, module.Start))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Join(dir, module.StartShell)); err == nil {
			return fmt.Errorf("%s has a start.sh: rename it to start, and make it executable", dir)
		}
		return fmt.Errorf("there is no file %s", filepath.Join(dir, module.Start))
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", filepath.Join(dir, module.Start))
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable: chmod +x it", filepath.Join(dir, module.Start))
	}
	return nil
}

// FindModules returns the modules folder that belongs to a personality in
// base: modules/ there, or in the nearest folder above; "" where there is none.
func FindModules(base string) (string, error) {
	abs, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	for {
		dir := filepath.Join(abs, "modules")
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
		parent := filepath.Dir(abs)
		if parent == abs {
			return "", nil
		}
		abs = parent
	}
}

// All returns the names of the modules in a folder, in byte order: its folders
// that hold a start file.
func All(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		_, err := os.Lstat(filepath.Join(dir, e.Name(), module.Start))
		if e.IsDir() && err == nil {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Lib returns the shell library of a collection; nil where it has none.
func Lib(modules string) ([]byte, error) {
	if modules == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(modules, module.LibraryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Spec reads a module's module.yaml; without one, the zero Spec.
func Spec(dir string) (module.Spec, error) {
	f, err := os.Open(filepath.Join(dir, module.SpecFile))
	if errors.Is(err, fs.ErrNotExist) {
		return module.Spec{}, nil
	}
	if err != nil {
		return module.Spec{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, module.MaxSpec+1))
	if err != nil {
		return module.Spec{}, err
	}
	return module.ParseSpec(text)
}
