package agent

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
)

// signer is a key, and the line of verify_keys that trusts it.
type signer struct {
	signature.SecretKey
	public string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	text, public, err := signature.Generate(secret.String{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := secret.WriteFile(path, text); err != nil {
		t.Fatal(err)
	}
	key, err := signature.ReadSecretKey(path, func() (secret.String, error) { return secret.String{}, errors.New("no password") })
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, public}
}

// part is one entry of a bundle's tar.
type part struct {
	header tar.Header
	text   string
}

const (
	manifestPart  = bundle.Top + "/" + bundle.ManifestName
	signaturePart = bundle.Top + "/" + bundle.SignatureName
)

// packed returns the parts of a bundle of modules a and b and a library, signed by s.
func (m *machine) packed(s signer, name string) []part {
	m.t.Helper()
	a := bundle.Archive{
		Manifest: bundle.Manifest{Name: name, Packer: "test"}, Trees: map[string]*bundle.Tree{},
		Lib: []byte("# library\n"), Sign: s.Sign,
	}
	for _, n := range []string{"a", "b"} {
		dir := filepath.Join(m.dir, "modules", n)
		m.write(filepath.Join(dir, "start"), "#!/bin/sh\necho "+n+" >>"+m.root()+"/ran\n", 0o755)
		tree, err := bundle.Scan(m.t.Context(), dir)
		if err != nil {
			m.t.Fatal(err)
		}
		a.Manifest.Modules = append(a.Manifest.Modules, bundle.Module{Name: n, Run: "every-boot", Env: map[string]string{"OPT_X": "good"}})
		a.Trees[n] = tree
	}
	var text bytes.Buffer
	if _, err := a.Write(&text); err != nil {
		m.t.Fatal(err)
	}
	var parts []part
	for r := tar.NewReader(&text); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			m.t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			m.t.Fatal(err)
		}
		parts = append(parts, part{*h, string(content)})
	}
}

// serve writes parts as the machine's bundle, unencrypted, and userdata for it.
func (m *machine) serve(parts []part) {
	m.t.Helper()
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, p := range parts {
		p.header.Size = int64(len(p.text))
		if err := w.WriteHeader(&p.header); err != nil {
			m.t.Fatal(err)
		}
		if _, err := w.Write([]byte(p.text)); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		m.t.Fatal(err)
	}
	path := filepath.Join(m.dir, "bundle")
	m.write(path, text.String(), 0o600)
	userdata, err := document.Document{URLs: []string{"file://" + path}}.Marshal()
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(m.userdata, string(userdata), 0o600)
}

func (m *machine) trust(text string, mode os.FileMode) {
	m.t.Helper()
	m.write(m.paths().VerifyKeys(), text, mode)
	if err := os.Chmod(m.paths().VerifyKeys(), mode); err != nil {
		m.t.Fatal(err)
	}
}

// nothing checks that nothing ran and that nothing of a bundle is left.
func (m *machine) nothing() {
	m.t.Helper()
	if ran := m.read("ran"); ran != "" {
		m.t.Errorf("ran %q", ran)
	}
	for _, path := range []string{m.paths().Bundle(), m.paths().Bundle() + bundle.StageSuffix} {
		if _, err := os.Lstat(path); err == nil {
			m.t.Errorf("%s is left", path)
		}
	}
}

func nopJournal(t *testing.T) *journal.Journal {
	t.Helper()
	log, err := journal.Open(journal.Config{Path: filepath.Join(t.TempDir(), "log"), Terminal: io.Discard, Level: zapcore.InfoLevel})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func signedMachine(t *testing.T) *machine {
	t.Helper()
	return newMachine(t, document.Document{}, script{name: "unused", start: "true"})
}

// in changes the text of the part of that name.
func in(parts []part, name, old, changed string) []part {
	for i, p := range parts {
		if p.header.Name == name {
			if !strings.Contains(p.text, old) {
				panic("nothing to change in " + name)
			}
			parts[i].text = strings.Replace(p.text, old, changed, 1)
		}
	}
	return parts
}

func without(parts []part, name string) []part {
	return slices.DeleteFunc(parts, func(p part) bool { return p.header.Name == name })
}

func file(name, text string) part {
	return part{tar.Header{Name: bundle.Top + "/" + name, Mode: 0o755, Typeflag: tar.TypeReg}, text}
}

func TestAttacksOnSignedBundles(t *testing.T) {
	owner, stranger := newSigner(t), newSigner(t)
	attacks := []struct {
		name   string
		attack func(m *machine, parts []part) []part
		code   Code
	}{
		{"unsigned", func(_ *machine, p []part) []part { return without(p, signaturePart) }, CodeOpen},
		{"signed by another key", func(m *machine, _ []part) []part { return m.packed(stranger, "web") }, CodeOpen},
		{"signature of another bundle", func(m *machine, p []part) []part {
			other := m.packed(owner, "other")
			p[1] = other[1]
			return p
		}, CodeOpen},
		{"name changed", func(_ *machine, p []part) []part { return in(p, manifestPart, `"web"`, `"bad"`) }, CodeOpen},
		{"env changed", func(_ *machine, p []part) []part { return in(p, manifestPart, "good", "evil") }, CodeOpen},
		{"order changed", func(_ *machine, p []part) []part {
			return in(in(in(p, manifestPart, `"name": "a"`, `"name": "c"`), manifestPart, `"name": "b"`, `"name": "a"`), manifestPart, `"name": "c"`, `"name": "b"`)
		}, CodeOpen},
		{"module file changed", func(_ *machine, p []part) []part {
			return in(p, bundle.Top+"/a/start", "#!/bin/sh", "#!/bin/sh -x")
		}, CodeOpen},
		{"library changed", func(_ *machine, p []part) []part { return in(p, bundle.Top+"/lib.sh", "library", "libraries") }, CodeOpen},
		{"library gone", func(_ *machine, p []part) []part { return without(p, bundle.Top+"/lib.sh") }, CodeOpen},
		{"extra file in a module", func(_ *machine, p []part) []part { return append(p, file("a/extra", "x")) }, CodeOpen},
		{"extra .git in a module", func(_ *machine, p []part) []part { return append(p, file("a/.git/hook", "x")) }, CodeOpen},
		{"stray file", func(_ *machine, p []part) []part { return append(p, file("stray", "x")) }, CodeOpen},
		{"stray folder", func(_ *machine, p []part) []part { return append(p, file("stray/start", "x")) }, CodeOpen},
		{"stray options", func(_ *machine, p []part) []part { return append(p, file(".env/a", "export X='y'")) }, CodeOpen},
		{"second top folder", func(_ *machine, p []part) []part {
			return append(p, part{tar.Header{Name: "other/start", Mode: 0o755, Typeflag: tar.TypeReg}, "x"})
		}, CodeOpen},
		{"stray link", func(_ *machine, p []part) []part {
			return append(p, part{tar.Header{Name: bundle.Top + "/link", Linkname: "a", Typeflag: tar.TypeSymlink}, ""})
		}, CodeOpen},
		{"module folder is a link", func(_ *machine, p []part) []part {
			moved := []part{}
			for _, e := range p {
				e.header.Name = strings.Replace(e.header.Name, bundle.Top+"/a/", bundle.Top+"/x/", 1)
				moved = append(moved, e)
			}
			return append(moved, part{tar.Header{Name: bundle.Top + "/a", Linkname: "x", Typeflag: tar.TypeSymlink}, ""})
		}, CodeOpen},
		{"manifest gone: as if made by hand", func(_ *machine, p []part) []part { return without(p, manifestPart) }, CodeOpen},
		{"signature twice", func(_ *machine, p []part) []part { return append(p, p[1]) }, CodeUnpack},
		{"oversized signature", func(_ *machine, p []part) []part {
			p[1].text += strings.Repeat("\n", bundle.MaxSignature)
			return p
		}, CodeOpen},
		{"signature is a link", func(_ *machine, p []part) []part {
			text := p[1].text
			p[1] = part{tar.Header{Name: signaturePart, Linkname: "a/signature", Typeflag: tar.TypeSymlink}, ""}
			return append(p, file("a/signature", text))
		}, CodeOpen},
	}
	for _, test := range attacks {
		t.Run(test.name, func(t *testing.T) {
			m := signedMachine(t)
			m.trust(owner.public, 0o644)
			m.serve(test.attack(m, m.packed(owner, "web")))
			m.want(test.code)
			m.nothing()
		})
	}
}

func TestVerifyKeysThatCannotBeUsedRefuseEverything(t *testing.T) {
	owner := newSigner(t)
	tests := []struct {
		name, text string
		mode       os.FileMode
	}{
		{"empty", "", 0o644},
		{"garbage", "garbage\n", 0o644},
		{"a good and a bad line", owner.public + "RW\n", 0o644},
		{"world-writable", owner.public, 0o646},
		{"group-writable", owner.public, 0o664},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := signedMachine(t)
			m.serve(m.packed(owner, "web"))
			m.trust(test.text, test.mode)
			m.want(CodeOpen)
			m.logged("cannot be used, so no bundle runs")
			m.nothing()
		})
	}
	t.Run("a link that leads nowhere", func(t *testing.T) {
		m := signedMachine(t)
		m.serve(m.packed(owner, "web"))
		if err := errors.Join(os.MkdirAll(m.paths().Config(), 0o755), os.Symlink("nowhere", m.paths().VerifyKeys())); err != nil {
			t.Fatal(err)
		}
		m.want(CodeOpen)
		m.nothing()
	})
}

func TestSignedBundles(t *testing.T) {
	owner, next := newSigner(t), newSigner(t)
	t.Run("one of two keys", func(t *testing.T) {
		m := signedMachine(t)
		m.trust(next.public+owner.public, 0o644)
		m.serve(m.packed(owner, "web"))
		m.want(CodeDone)
		m.logged("vouched_by=signature:" + owner.ID())
		if got, want := m.read("ran"), "a\nb\n"; got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	})
	t.Run("entries in another order are the same bundle", func(t *testing.T) {
		m := signedMachine(t)
		m.trust(owner.public, 0o644)
		parts := m.packed(owner, "web")
		slices.Reverse(parts)
		for i := range parts {
			parts[i].header.Name = strings.TrimSuffix(parts[i].header.Name, "/")
		}
		m.serve(parts)
		m.want(CodeDone)
	})
	t.Run("signed or not where nothing is enforced", func(t *testing.T) {
		for _, parts := range []func(*machine) []part{
			func(m *machine) []part { return m.packed(owner, "web") },
			func(m *machine) []part { return without(m.packed(owner, "web"), signaturePart) },
		} {
			m := signedMachine(t)
			m.serve(parts(m))
			m.want(CodeDone)
		}
	})
	t.Run("key removed between boots", func(t *testing.T) {
		m := signedMachine(t)
		m.trust(owner.public, 0o644)
		m.serve(m.packed(owner, "web"))
		m.want(CodeDone)
		if err := os.Remove(filepath.Join(m.root(), "ran")); err != nil {
			t.Fatal(err)
		}
		m.trust(next.public, 0o644)
		m.boot = "boot-2"
		if code, err := New(Config{Paths: m.paths(), Journal: nopJournal(t)}).Check(t.Context(), "", func(Checked) { t.Error("checked") }); code != CodeOpen || err == nil {
			t.Errorf("check: %d, %v", code, err)
		}
		m.want(CodeOpen)
		m.logged(owner.ID())
		m.nothing()
		if r, err := record.Load(m.paths().Record()); err != nil || r.ExitCode != int(CodeOpen) {
			t.Errorf("recorded %+v, %v", r, err)
		}
	})
	t.Run("a script as userdata", func(t *testing.T) {
		m := signedMachine(t)
		m.trust(owner.public, 0o644)
		m.write(m.userdata, "#!/bin/sh\necho script >>"+m.root()+"/ran\n", 0o600)
		m.want(CodeUserdata)
		m.nothing()
	})
}
