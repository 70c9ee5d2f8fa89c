package bundle_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// sample is an archive of two modules, in an order that is not the alphabet's.
// Its files lie in dir, or in a temporary folder.
func sample(t testing.TB, dir string) *bundle.Archive {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	write(t, filepath.Join(dir, "web", "start"), "#!/bin/sh\necho web\n")
	write(t, filepath.Join(dir, "web", "files", "index.html"), "<h1>hello</h1>\n")
	write(t, filepath.Join(dir, "web", "files-old"), "sorts between files and files/index.html\n")
	if err := os.Symlink("files/index.html", filepath.Join(dir, "web", "page")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "base", "start"), "#!/bin/sh\necho base\n")
	a := &bundle.Archive{
		Manifest: bundle.Manifest{Name: "sample", Packer: "test", Modules: []bundle.Module{
			{Name: "web", Env: map[string]string{"OPT_MOTD": "it's $HOME\n`x`", "OPT_A": ""}, Timeout: "30s"},
			{Name: "base", Run: "every-boot"},
		}},
		Trees:    map[string]*bundle.Tree{},
		Lib:      []byte("hello() { echo hello; }\n"),
		ShellEnv: true,
	}
	for _, name := range []string{"web", "base"} {
		tree, err := bundle.Scan(t.Context(), filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		a.Trees[name] = tree
	}
	return a
}

func sealSample(t testing.TB, a *bundle.Archive, to ...age.Recipient) (sealed []byte, digest string) {
	t.Helper()
	var b bytes.Buffer
	w, err := bundle.Seal(&b, to...)
	if err == nil {
		digest, err = a.Write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), digest
}

func TestRoundTrip(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	protected, err := bundle.PassphraseRecipient(secret.New(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) age.Recipient {
		r, err := bundle.Recipient(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, tt := range map[string]struct {
		to   []age.Recipient
		key  bundle.Key
		kind bundle.Encryption
	}{
		"X25519":     {[]age.Recipient{read(identity().Recipient().String())}, identityKey(), bundle.AgeRecipient},
		"hybrid":     {[]age.Recipient{read(hybrid.Recipient().String())}, bundle.Key{Secret: secret.New(hybrid.String())}, bundle.AgeRecipient},
		"passphrase": {[]age.Recipient{protected}, passKey(), bundle.AgePassphrase},
	} {
		t.Run(name, func(t *testing.T) {
			a := sample(t, "")
			sealed, digest := sealSample(t, a, tt.to...)
			in, err := bundle.Open(t.Context(), bytes.NewReader(sealed), tt.key)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			h := sha256.New()
			in.Tee(h)
			r := newRoom(t)
			c, err := bundle.Unpack(t.Context(), in, r.dest, bundle.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest {
				t.Errorf("content digest %s, and the packer said %s", got, digest)
			}
			if in.Kind().Encryption != tt.kind || in.Kind().Authenticated() != (tt.kind == bundle.AgePassphrase) || in.BytesIn() != int64(len(sealed)) {
				t.Errorf("kind %+v, %d of %d bytes", in.Kind(), in.BytesIn(), len(sealed))
			}
			checkSample(t, a, c)
		})
	}
}

func checkSample(t *testing.T, a *bundle.Archive, c *bundle.Contents) {
	t.Helper()
	if diff := cmp.Diff(&a.Manifest, c.Manifest); diff != "" {
		t.Errorf("manifest (-packed +unpacked):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"web", "base"}, names(c)); diff != "" || c.ByHand {
		t.Errorf("order of modules:\n%s", diff)
	}
	got := snapshot(t, c.ModuleDir(c.Manifest.Modules[0]))
	want := map[string]string{
		".": "drwxr-xr-x ", "files": "drwxr-xr-x ", "start": "-rwxr-xr-x #!/bin/sh\necho web\n", "page": "Lrwxrwxrwx files/index.html",
		"files/index.html": "-rw-r--r-- <h1>hello</h1>\n", "files-old": "-rw-r--r-- sorts between files and files/index.html\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("module web (-want +got):\n%s", diff)
	}
	if info, err := os.Lstat(c.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the bundle's folder: %v, %v", info.Mode(), err)
	}
	if err := errors.Join(c.Verify(t.Context(), nil), c.Sync()); err != nil {
		t.Error(err)
	}
	again, err := bundle.Load(t.Context(), c.Dir)
	if err != nil || !cmp.Equal(again.Manifest, c.Manifest) {
		t.Errorf("load: %+v, %v", again, err)
	}
	if lib := again.Lib(); lib == "" {
		t.Error("lib.sh is not found")
	}
	if program, args := c.Command(c.Manifest.Modules[0]); !strings.HasSuffix(program, "web/start") || args != nil {
		t.Errorf("command %s %v", program, args)
	}
}

func TestVerifySeesWhatChangedOnDisk(t *testing.T) {
	sealed, _ := sealSample(t, sample(t, ""), identity().Recipient())
	for _, name := range []string{"web/start", "web/files/index.html", "base/start", "lib.sh"} {
		r := newRoom(t)
		c, err := r.unpack(bytes.NewReader(sealed), identityKey(), bundle.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(c.Dir, bundle.Top, name), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(t.Context(), nil); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("%s emptied: %v", name, err)
		}
	}
}

func TestCloseInMidStreamLeavesNoGoroutine(t *testing.T) {
	plain := tarOf(t, with(file("noise", noise(4<<20)))...)
	for name, raw := range map[string][]byte{"age zstd": seal(t, plain), "age gzip": encrypt(t, gzipped(t, plain)), "age tar": encrypt(t, plain)} {
		for _, read := range []int64{0, 1, 100_000, 3 << 20} {
			t.Run(fmt.Sprint(name, " after ", read), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left, or all wait
					in, err := bundle.Open(t.Context(), bytes.NewReader(raw), identityKey())
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.CopyN(io.Discard, in, read); err != nil {
						t.Fatal(err)
					}
					in.Close()
					in.Close()
					if _, err := io.Copy(io.Discard, in); err == nil {
						t.Error("a closed reader still reads")
					}
				})
			})
		}
	}
}

func TestCloseDoesNotWaitForAHangingStream(t *testing.T) {
	plain := tarOf(t, with(file("noise", noise(2<<20)))...)
	for name, tt := range map[string]struct {
		raw []byte
		key bundle.Key
	}{
		"age zstd": {seal(t, plain), identityKey()},
		"age tar":  {encrypt(t, plain), identityKey()},
		"openssl":  {sealOpenSSL(t, plain), passKey()},
		"gzip":     {gzipped(t, plain), bundle.Key{}},
		"tar":      {plain, bundle.Key{}},
	} {
		for _, read := range []int64{0, 1 << 19} {
			t.Run(fmt.Sprint(name, " after ", read), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					raw, network := io.Pipe()
					go func() { _, _ = network.Write(tt.raw[:3<<19]) }() // and then hangs
					in, err := bundle.Open(t.Context(), raw, tt.key)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := io.CopyN(io.Discard, in, read); err != nil {
						t.Fatal(err)
					}
					in.Close()
					raw.Close() // frees the last
				})
			})
		}
	}
}

func TestABundleLargerThanTheDiskIsRefusedBeforeItIsWritten(t *testing.T) {
	r := newRoom(t)
	manifest := fmt.Sprintf(`{"format_version":1,"bytes":%d,"modules":[{"name":"m"}]}`, int64(1)<<60)
	entries := append([]entry{manifestFile(manifest)}, good()[1:]...)
	_, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, entries...))), identityKey(), bundle.Limits{})
	if !errors.Is(err, bundle.ErrSpace) || !strings.Contains(err.Error(), "larger disk") {
		t.Errorf("error %v", err)
	}
	r.untouched()
}

func TestAFullDiskIsNamedAndLeftClean(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root on Linux")
	}
	for name, entries := range map[string][]entry{
		"a large file":     with(file("f", noise(3<<20))),
		"many small files": with(manySmall(300, 8<<10)...),
	} {
		t.Run(name, func(t *testing.T) {
			disk := t.TempDir()
			if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
				t.Skipf("a tmpfs cannot be mounted here: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(disk, 0) })
			r := &room{t: t, parent: disk, dest: filepath.Join(disk, "bundle"), before: snapshot(t, disk)}
			_, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, entries...))), identityKey(), bundle.Limits{})
			if !errors.Is(err, bundle.ErrSpace) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), disk) {
				t.Errorf("error %v", err)
			}
			r.untouched()
		})
	}
}

func manySmall(n, size int) []entry {
	list := make([]entry, n)
	for i := range list {
		list[i] = file(fmt.Sprintf("d%d/f%d", i%7, i), noise(size))
	}
	return list
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	r := newRoom(t)
	if _, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, with(file("a/b", "x"), file("a/big", noise(400<<10)), symlink("p/q", "x"))...))), identityKey(), bundle.Limits{}); err != nil {
		t.Fatal(err)
	}
	got := snapshot(t, r.dest)
	for name, want := range map[string]string{"a": "drwxr-xr-x", "p": "drwxr-xr-x", "a/b": "-rw-r--r--", "a/big": "-rw-r--r--", top + "m/start": "-rwxr-xr-x"} {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}

func TestManyFoldersAreUnpacked(t *testing.T) {
	var more []entry
	for i := range 600 { // more than handles are kept, and back to each
		more = append(more, file(fmt.Sprintf("d%d/f%d", i%300, i), "x"))
	}
	r := newRoom(t)
	if _, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, with(more...)...))), identityKey(), bundle.Limits{}); err != nil {
		t.Fatal(err)
	}
	if n := len(snapshot(t, r.dest)); n != 1+600+300+4 {
		t.Errorf("%d entries", n)
	}
}

func TestWhatIsNoBundleIsSaid(t *testing.T) {
	for name, tt := range map[string]struct{ raw, text string }{
		"nothing":     {"", "empty"},
		"a web page":  {"<!doctype html><html>", "web page"},
		"S3's error":  {"<?xml version=\"1.0\"?><Error>", "XML error"},
		"base64":      {"U2FsdGVkX19xyz", "openssl enc -a"},
		"armor":       {"-----BEGIN AGE ENCRYPTED FILE-----\n", "armor"},
		"a zip":       {"PK\x03\x04", "neither like age"},
		"zero blocks": {strings.Repeat("\x00", 10240), "neither like age"},
	} {
		if _, err := bundle.Open(t.Context(), strings.NewReader(tt.raw), bundle.Key{}); !errors.Is(err, bundle.ErrFormat) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := bundle.Identify([]byte(tt.raw)); !errors.Is(err, bundle.ErrFormat) {
			t.Errorf("identify %s: %v", name, err)
		}
	}
	if _, err := bundle.Open(t.Context(), strings.NewReader("Salted__12345678"), passKey()); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("openssl's header alone: %v", err)
	}
}
