package bundle_test

import (
	"archive/tar"
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
	"time"

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
		tree, err := bundle.Scan(filepath.Join(dir, name))
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
			in, err := bundle.Open(bytes.NewReader(sealed), tt.key)
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
	if err := errors.Join(c.Verify(), c.Sync()); err != nil {
		t.Error(err)
	}
	again, err := bundle.Load(c.Dir)
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
		if err := c.Verify(); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("%s emptied: %v", name, err)
		}
	}
}

func TestTheSameInputGivesTheSameDigest(t *testing.T) {
	var first []byte
	for i, umask := range []int{0o022, 0o077, 0o002} {
		old := unix.Umask(umask)
		a := sample(t, "")
		later := time.Unix(1e9+int64(i), 0)
		_ = os.Chtimes(filepath.Join(a.Trees["web"].Dir, "start"), later, later)
		unix.Umask(old)
		var b, twice bytes.Buffer
		digest, err := a.Write(&b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := a.Write(&twice); err != nil || again != digest {
			t.Errorf("written a second time: %s, %s, %v", digest, again, err)
		}
		if first == nil {
			first = b.Bytes()
		}
		if !bytes.Equal(first, b.Bytes()) {
			t.Errorf("umask %o: other bytes", umask)
		}
	}
	a := sample(t, "")
	a.ModTime = time.Unix(1700000000, 0)
	var b bytes.Buffer
	if _, err := a.Write(&b); err != nil {
		t.Fatal(err)
	}
	if h, err := tar.NewReader(&b).Next(); err != nil || !h.ModTime.Equal(a.ModTime) {
		t.Errorf("time %v, %v", h.ModTime, err)
	}
}

func TestTheArchiveIsInOrder(t *testing.T) {
	var b bytes.Buffer
	if _, err := sample(t, "").Write(&b); err != nil {
		t.Fatal(err)
	}
	var got []string
	in := tar.NewReader(&b)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%o %d:%d %d %s", h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), strings.TrimPrefix(h.Name, top)))
	}
	want := []string{
		"644 0:0 0 bundle.json", "644 0:0 0 .env/base", "644 0:0 0 .env/web",
		"755 0:0 0 base/", "755 0:0 0 base/start", "644 0:0 0 lib.sh",
		"755 0:0 0 web/", "755 0:0 0 web/files/", "644 0:0 0 web/files-old", "644 0:0 0 web/files/index.html",
		"755 0:0 0 web/page", "755 0:0 0 web/start",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The worked example of docs/bundle-format.md.
func TestTreeDigestIsAsDocumented(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "start"), "#!/bin/sh\n")
	write(t, filepath.Join(dir, "etc", "app.conf"), "port=80\n")
	write(t, filepath.Join(dir, "etc-old"), "")
	write(t, filepath.Join(dir, ".git", "HEAD"), "left out")
	if err := os.Symlink("etc/app.conf", filepath.Join(dir, "conf")); err != nil {
		t.Fatal(err)
	}
	tree, err := bundle.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := "l conf\x00etc/app.conf\n" +
		"d etc\x00\n" +
		"f etc-old\x00e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n" +
		"f etc/app.conf\x00" + hexSum("port=80\n") + "\n" +
		"x start\x00" + hexSum("#!/bin/sh\n") + "\n"
	want := "sha256:" + hexSum(lines)
	if got := tree.Digest(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	doc, err := os.ReadFile("../../docs/bundle-format.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, quoted := range []string{want, hexSum("port=80\n"), hexSum("#!/bin/sh\n")} {
		if !bytes.Contains(doc, []byte(quoted)) {
			t.Errorf("docs/bundle-format.md does not hold %s", quoted)
		}
	}
}

func hexSum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func TestScanRefusesWhatNoBundleMayHold(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(dir string) error
		text string
	}{
		"a named pipe":      {func(d string) error { return unix.Mkfifo(d+"/p", 0o644) }, "neither file"},
		"an absolute link":  {func(d string) error { return os.Symlink("/etc/passwd", d+"/l") }, "absolute"},
		"a link out":        {func(d string) error { return os.Symlink("../x", d+"/l") }, "out of its folder"},
		"a line feed":       {func(d string) error { return os.WriteFile(d+"/a\nb", nil, 0o600) }, "control"},
		"a missing folder":  {os.Remove, "no such file"},
		"a name not UTF-8":  {func(d string) error { return os.WriteFile(d+"/\xff", nil, 0o600) }, "UTF-8"},
		"a file in between": {func(d string) error { return errors.Join(os.Remove(d), os.WriteFile(d, nil, 0o600)) }, "not a directory"},
	} {
		dir := filepath.Join(t.TempDir(), "m")
		if err := errors.Join(os.Mkdir(dir, 0o755), tt.make(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Scan(dir); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileThatChangesWhileItIsPackedIsNoticed(t *testing.T) {
	for _, text := range []string{"", "#!/bin/sh\necho wEb\n", "longer than it was: " + noise(100)} {
		a := sample(t, "")
		start := filepath.Join(a.Trees["web"].Dir, "start")
		if err := os.WriteFile(start, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write(io.Discard); err == nil || !strings.Contains(err.Error(), "changed while it was packed") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	a := sample(t, "")
	delete(a.Trees, "web")
	if _, err := a.Write(io.Discard); err == nil || !strings.Contains(err.Error(), "no folder for module web") {
		t.Errorf("a module without a folder: %v", err)
	}
}

func TestSealWithoutAnEndIsNoBundle(t *testing.T) {
	if _, err := bundle.Seal(io.Discard); err == nil {
		t.Error("sealed for nobody")
	}
	if _, err := bundle.PassphraseRecipient(secret.New("")); err == nil {
		t.Error("sealed under an empty passphrase")
	}
	for _, text := range []string{"", "age1", identity().String(), identity().Recipient().String() + "\n" + identity().Recipient().String()} {
		if _, err := bundle.Recipient(text); err == nil {
			t.Errorf("%q is a recipient", text)
		}
	}
	full := &smallDisk{left: 400}
	w, err := bundle.Seal(full, identity().Recipient())
	if err == nil {
		_, err = io.WriteString(w, noise(200<<10))
	}
	if err == nil {
		err = w.Close()
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
}

type smallDisk struct{ left int }

func (d *smallDisk) Write(p []byte) (int, error) {
	if d.left -= len(p); d.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestCloseInMidStreamLeavesNoGoroutine(t *testing.T) {
	plain := tarOf(t, with(file("noise", noise(4<<20)))...)
	for name, raw := range map[string][]byte{"age zstd": seal(t, plain), "age gzip": encrypt(t, gzipped(t, plain)), "age tar": encrypt(t, plain)} {
		for _, read := range []int64{0, 1, 100_000, 3 << 20} {
			t.Run(fmt.Sprint(name, " after ", read), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left, or all wait
					in, err := bundle.Open(bytes.NewReader(raw), identityKey())
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
	sealed := seal(t, tarOf(t, with(file("noise", noise(2<<20)))...))
	synctest.Test(t, func(t *testing.T) {
		raw, network := io.Pipe()
		go func() { _, _ = network.Write(sealed[:1<<20]) }() // and then hangs
		in, err := bundle.Open(raw, identityKey())
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
		raw.Close() // frees the last
	})
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
		if _, err := bundle.Open(strings.NewReader(tt.raw), bundle.Key{}); !errors.Is(err, bundle.ErrFormat) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := bundle.Identify([]byte(tt.raw)); !errors.Is(err, bundle.ErrFormat) {
			t.Errorf("identify %s: %v", name, err)
		}
	}
	if _, err := bundle.Open(strings.NewReader("Salted__12345678"), passKey()); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("openssl's header alone: %v", err)
	}
}
