package bundle_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"startup-bundle/internal/bundle"
)

// moduleArchive writes the archive of a folder as a module called name.
func moduleArchive(t *testing.T, dir, name string, modTime time.Time) ([]byte, *bundle.Tree) {
	t.Helper()
	tree, err := bundle.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := bundle.WriteModule(&b, tree, name, modTime); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), tree
}

func moduleFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{"start": "#!/bin/sh\n", "a/deep/file": strings.Repeat("x", 200_000), "module.yaml": "version: 1.0.0\n"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a/deep/file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAModuleThereAndBack(t *testing.T) {
	dir := moduleFolder(t)
	archive, tree := moduleArchive(t, dir, "hello", time.Time{})
	if again, _ := moduleArchive(t, dir, "hello", time.Unix(0, 0)); !bytes.Equal(archive, again) {
		t.Error("the same folder gave another archive")
	}
	if later, _ := moduleArchive(t, dir, "hello", time.Unix(1, 0)); bytes.Equal(archive, later) {
		t.Error("the time is not in the archive")
	}
	parent := t.TempDir()
	dest := filepath.Join(parent, "other")
	if err := bundle.UnpackModule(t.Context(), bytes.NewReader(archive), dest, bundle.Limits{}); err != nil {
		t.Fatal(err)
	}
	back, err := bundle.Scan(t.Context(), dest)
	if err != nil || back.Digest() != tree.Digest() {
		t.Errorf("unpacked %v, %v, want %s", back, err, tree.Digest())
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("beside it: %v", entries)
	}
}

func TestWhatIsNotOneModule(t *testing.T) {
	module, _ := moduleArchive(t, moduleFolder(t), "hello", time.Time{})
	two := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Rename(moduleFolder(t), filepath.Join(two, name)); err != nil {
			t.Fatal(err)
		}
	}
	below, _ := moduleArchive(t, two, "top", time.Time{})
	empty, _ := moduleArchive(t, t.TempDir(), "hello", time.Time{})
	for name, x := range map[string]struct {
		archive []byte
		want    error
	}{
		"modules below the top": {below, bundle.ErrFormat},
		"no start":              {empty, bundle.ErrFormat},
		"no archive":            {[]byte("hello"), bundle.ErrFormat},
		"cut":                   {module[:len(module)-5], bundle.ErrDamaged},
		"bytes behind":          {append(bytes.Clone(module), 0), bundle.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			err := bundle.UnpackModule(t.Context(), bytes.NewReader(x.archive), filepath.Join(parent, "hello"), bundle.Limits{})
			if !errors.Is(err, x.want) {
				t.Errorf("got %v, want %v", err, x.want)
			}
			if entries, _ := os.ReadDir(parent); len(entries) != 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

func TestAModuleThatChangesWhileItIsWritten(t *testing.T) {
	dir := moduleFolder(t)
	tree, err := bundle.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "start"), []byte("#!/bin/bb\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := bundle.WriteModule(&bytes.Buffer{}, tree, "hello", time.Time{}); err == nil || !strings.Contains(err.Error(), "changed while it was packed") {
		t.Errorf("got %v", err)
	}
}
