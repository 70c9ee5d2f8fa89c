package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"startup-bundle/internal/bundle"
	"startup-bundle/modules"
)

// standardModule returns the folder of a module that this program carries, named
// for the module. It lies in the user's cache, below its digest, so that programs
// of two versions can run at once; it is written again if anybody has changed it.
// The error is fs.ErrNotExist if there is no such module.
func standardModule(name string) (string, error) {
	files := modules.Module(name)
	if files == nil {
		return "", fs.ErrNotExist
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place to keep the standard modules in: %w", err)
	}
	cache = filepath.Join(cache, "startup-packer", "standard")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("keep the standard modules in the user's cache: %w; set XDG_CACHE_HOME to a folder that can be written", err)
	}
	work, err := os.MkdirTemp(cache, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	written := filepath.Join(work, name)
	if err := writeModule(written, files); err != nil {
		return "", err
	}
	tree, err := scanStandard(written)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, strings.Replace(tree.Digest(), ":", "-", 1), name)
	if holds(dir, tree) {
		return dir, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Dir(dir), 0o755)); err != nil {
		return "", err
	}
	if err := os.Rename(written, dir); err != nil && !holds(dir, tree) { // another program may have written the same
		return "", err
	}
	return dir, nil
}

// scanStandard needs no context: a standard module is a few files of this program.
func scanStandard(dir string) (*bundle.Tree, error) { return bundle.Scan(context.Background(), dir) }

// IsStandard reports whether a folder is one that a standard module was written to.
func IsStandard(dir string) bool {
	cache, err := os.UserCacheDir()
	return err == nil && strings.HasPrefix(dir, filepath.Join(cache, "startup-packer", "standard")+string(filepath.Separator))
}

func holds(dir string, want *bundle.Tree) bool {
	tree, err := scanStandard(dir)
	return err == nil && tree.Digest() == want.Digest()
}

// writeModule makes the folder dir of a module's files.
func writeModule(dir string, files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Mkdir(path, 0o755)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if bytes.HasPrefix(text, []byte("#!")) {
			mode = 0o755
		}
		return os.WriteFile(path, text, mode)
	})
}
