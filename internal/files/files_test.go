package files_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"startup-bundle/internal/files"
)

// plant puts what is no regular file into dir, by what it is.
func plant(t *testing.T, dir string) map[string]string {
	t.Helper()
	paths := map[string]string{"folder": dir, "device": os.DevNull}
	paths["FIFO"] = filepath.Join(dir, "fifo")
	paths["link to a FIFO"] = filepath.Join(dir, "link")
	paths["socket"] = filepath.Join(dir, "socket")
	if err := errors.Join(unix.Mkfifo(paths["FIFO"], 0o600), os.Symlink("fifo", paths["link to a FIFO"])); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", paths["socket"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return paths
}

func TestOnlyRegularFilesAreOpenedOrReplaced(t *testing.T) {
	for what, path := range plant(t, t.TempDir()) {
		t.Run(what, func(t *testing.T) {
			for name, open := range map[string]func() error{
				"read":      func() error { _, err := files.Read(path, 1); return err },
				"append":    func() error { _, err := files.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); return err },
				"write":     func() error { return files.Write(path, nil, 0o600) },
				"write new": func() error { return files.WriteNew(path, nil, 0o600) },
			} {
				err := open()
				refused := errors.Is(err, files.ErrNotRegular) || name == "write new" && errors.Is(err, fs.ErrExist)
				if !refused || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
				t.Errorf("it was replaced: %v, %v", info, err)
			}
		})
	}
}

func TestReadIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := files.Write(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := files.Read(path, 5); string(text) != "12345" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := files.Read(path, 4); text != nil || !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "f"), filepath.Join(dir, "l")
	if err := os.Symlink("f", link); err != nil {
		t.Fatal(err)
	}
	check := func(want string, mode fs.FileMode) {
		t.Helper()
		text, err := os.ReadFile(path)
		info, statErr := os.Lstat(path)
		if err != nil || statErr != nil || string(text) != want || info.Mode() != mode {
			t.Errorf("%q, %v, %v, %v", text, info, err, statErr)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("beside it: %v, %v", entries, err)
		}
	}
	if err := files.WriteNew(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("one", 0o600)
	for _, taken := range []string{path, link} {
		if err := files.WriteNew(taken, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", taken, err)
		}
	}
	check("one", 0o600)
	if err := files.Write(path, []byte("three"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("three", 0o644)
	if err := files.Write(link, []byte("four"), 0o640); err != nil { // the link stays one
		t.Fatal(err)
	}
	check("four", 0o640)

	// Two that are new at once: one wins, and the other leaves nothing.
	other := filepath.Join(t.TempDir(), "new")
	f, err := files.Create(other, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.WriteNew(other, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.CommitNew(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second: %v", err)
	}
	f.Abandon()
	if entries, err := os.ReadDir(filepath.Dir(other)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
