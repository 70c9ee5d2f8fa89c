package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const passphrase = "stirringdullroots"

var identity = sync.OnceValue(func() *age.X25519Identity {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	return id
})

func identityKey() bundle.Key {
	return bundle.Key{Secret: secret.New(identity().String())}
}

func passKey() bundle.Key { return bundle.Key{Secret: secret.New(passphrase)} }

// entry is one entry of a test's tar.
type entry struct {
	tar.Header
	body string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}, body}
}

func program(name, body string) entry {
	e := file(name, body)
	e.Mode = 0o755
	return e
}

func folder(name string) entry {
	return entry{Header: tar.Header{Name: name + "/", Mode: 0o755, Typeflag: tar.TypeDir}}
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink}}
}

func hardlink(name, target string) entry {
	return entry{Header: tar.Header{Name: name, Linkname: target, Mode: 0o644, Typeflag: tar.TypeLink}}
}

func manifestFile(text string) entry { return file(bundle.Top+"/"+bundle.ManifestName, text) }

const smallManifest = `{"format_version":1,"name":"n","modules":[{"name":"m"}]}`

// good is an archive that opens: every case of the hostile table adds to it.
func good() []entry {
	return []entry{manifestFile(smallManifest), folder(bundle.Top + "/m"), program(bundle.Top+"/m/start", "#!/bin/sh\n")}
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encrypt(t testing.TB, plain []byte, to ...age.Recipient) []byte {
	t.Helper()
	if len(to) == 0 {
		to = []age.Recipient{identity().Recipient()}
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	finish(t, w, plain, err)
	return b.Bytes()
}

func seal(t testing.TB, plain []byte, to ...age.Recipient) []byte {
	t.Helper()
	if len(to) == 0 {
		to = []age.Recipient{identity().Recipient()}
	}
	var b bytes.Buffer
	w, err := bundle.Seal(&b, to...)
	finish(t, w, plain, err)
	return b.Bytes()
}

func sealOpenSSL(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bundle.SealOpenSSL(&b, secret.New(passphrase))
	finish(t, w, plain, err)
	return b.Bytes()
}

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	finish(t, gzip.NewWriter(&b), plain, nil)
	return b.Bytes()
}

func zstded(t testing.TB, plain []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, append(options, zstd.WithEncoderConcurrency(1))...)
	finish(t, w, plain, err)
	return b.Bytes()
}

func finish(t testing.TB, w io.WriteCloser, plain []byte, err error) {
	t.Helper()
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tool runs a program of the machine over in; a test without it is skipped.
func tool(t testing.TB, in []byte, name string, args ...string) []byte {
	t.Helper()
	need(t, name)
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(in)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return out.Bytes()
}

func lookTool(name string) (string, error) { return exec.LookPath(name) }

func need(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("the program %s is not installed: bundles made by it are not tested here", name)
		}
	}
}

// room is a folder to unpack into, with files around it that must stay as they are.
type room struct {
	t      testing.TB
	parent string
	dest   string
	before map[string]string
}

func newRoom(t testing.TB) *room {
	t.Helper()
	outer := t.TempDir()
	r := &room{t: t, parent: outer, dest: filepath.Join(outer, "in", "bundle")}
	write(t, filepath.Join(outer, "canary"), "alive")
	write(t, filepath.Join(outer, "in", "canary"), "alive")
	write(t, filepath.Join(outer, "in", "canaries", "one"), "alive")
	r.before = snapshot(t, outer)
	return r
}

func (r *room) unpack(raw io.Reader, key bundle.Key, limits bundle.Limits) (*bundle.Contents, error) {
	in, err := bundle.Open(r.t.Context(), raw, key)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return bundle.Unpack(context.Background(), in, r.dest, limits)
}

// untouched fails the test unless everything is as it was before.
func (r *room) untouched() {
	r.t.Helper()
	if diff := cmp.Diff(r.before, snapshot(r.t, r.parent)); diff != "" {
		r.t.Fatalf("the folder around is not as it was (-before +after):\n%s", diff)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	mode := fs.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// snapshot lists everything below dir: mode, and content or target.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var what string
		switch {
		case d.Type() == fs.ModeSymlink:
			what, err = os.Readlink(p)
		case d.Type().IsRegular() && info.Size() < 1<<20:
			var text []byte
			text, err = os.ReadFile(p)
			what = string(text)
		case d.Type().IsRegular():
			what = fmt.Sprint(info.Size(), " bytes")
		}
		rel, _ := filepath.Rel(dir, p)
		found[rel] = info.Mode().String() + " " + what
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
