package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

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
		"644 0:0 0 bundle.json", "644 0:0 0 .env/.bundle", "644 0:0 0 .env/base", "644 0:0 0 .env/web",
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
	tree, err := bundle.Scan(t.Context(), dir)
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
		if _, err := bundle.Scan(t.Context(), dir); err == nil || !strings.Contains(err.Error(), tt.text) {
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
