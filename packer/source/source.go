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
	"startup-bundle/internal/spelling"
	"startup-bundle/modules"
)

// Folders says where names are looked up.
type Folders struct {
	Base        string   // the personality's folder: ./site is relative to it
	Collections []string // a plain name is a folder of one of these, else a standard module
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
	default:
		if dir, err = f.Named(ref); err != nil {
			return "", "", err
		}
	}
	if err := isModule(dir); err != nil {
		return "", "", fmt.Errorf("module %s: %w", ref, err)
	}
	return dir, filepath.Base(dir), nil
}

// Named returns the folder of the module of that name: in the first collection
// that has such a folder, else the standard module. What is in it is not looked at.
func (f Folders) Named(name string) (dir string, err error) {
	for _, collection := range f.Collections {
		dir = filepath.Join(collection, name)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dir, err // one's own that cannot be read is not replaced by another
		}
	}
	dir, err = standardModule(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("module %s: %w", name, f.unknown(name))
	}
	return dir, err
}

// unknown is the error of a name that no collection has.
func (f Folders) unknown(name string) error {
	known := modules.Names()
	looked := "not one of the standard modules"
	for _, collection := range f.Collections {
		names, err := All(collection)
		if err != nil {
			return err
		}
		known = append(known, names...)
		looked = "not in " + collection + ", and " + looked
	}
	if near := spelling.Nearest(name, known); near != "" {
		return fmt.Errorf("%s; did you mean %s?", looked, near)
	}
	return fmt.Errorf("%s; startup-packer module list shows what there is, and a folder is written ./%s", looked, name)
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

// Collections returns the collections of a personality in base, in the order in
// which names are looked up: the folder that the user gave, unless that is empty,
// and the personality's own.
func Collections(base, given string) ([]string, error) {
	own, err := FindModules(base)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, dir := range []string{given, own} {
		if dir != "" {
			list = append(list, dir)
		}
	}
	return list, nil
}

// FindModules returns the modules folder that belongs to a personality in
// base: modules/ there, or in the nearest folder above; "" if there is none.
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

// Lib returns the shell library of the first collection that has one of its own;
// nil if none has.
func Lib(collections ...string) ([]byte, error) {
	for _, dir := range collections {
		text, err := os.ReadFile(filepath.Join(dir, module.LibraryFile))
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
	}
	return nil, nil
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
