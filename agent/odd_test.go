package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"startup-bundle/agent/record"
	"startup-bundle/internal/document"
)

// serves makes the machine's bundle the one at url, with more lines of userdata.
func (m *machine) serves(url, more string) {
	m.t.Helper()
	m.write(m.userdata, "#startup-bundle\nurl: "+url+"\n"+more, 0o600)
}

// item is an entry of a made-up archive.
type item struct {
	name, what string // what: the text of a file, or the target of a link
	kind       byte
}

func archive(t *testing.T, items []item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := &tar.Header{Name: i.name, Mode: 0o755, Typeflag: i.kind}
		switch i.kind {
		case tar.TypeReg:
			h.Size = int64(len(i.what))
		case tar.TypeDir:
			h.Name += "/"
		case tar.TypeSymlink, tar.TypeLink:
			h.Linkname = i.what
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if i.kind == tar.TypeReg {
			if _, err := io.WriteString(w, i.what); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever stands where something else should, the bundle is run, or it is refused as
// one that cannot be opened or unpacked, and then nothing of it is there.
func TestOddArchivesHaveAnExitCodeOfTheirOwn(t *testing.T) {
	const manifest = `{"format_version":1,"name":"n","modules":[{"name":"m"}],"lib_digest":"sha256:0"}`
	bases := map[string][]item{
		"packed":      {{"start-up-bundle/bundle.json", manifest, tar.TypeReg}, {"start-up-bundle/lib.sh", "# lib", tar.TypeReg}, {"start-up-bundle/m/start", "#!/bin/sh\n", tar.TypeReg}},
		"without top": {{"bundle.json", manifest, tar.TypeReg}, {"m/start", "#!/bin/sh\n", tar.TypeReg}},
		"by hand":     {{"start-up-bundle/m/start", "#!/bin/sh\n", tar.TypeReg}, {"start-up-bundle/n/start.sh", "true\n", tar.TypeReg}},
		"another top": {{"top/m/start", "#!/bin/sh\n", tar.TypeReg}},
	}
	names := []string{
		"start-up-bundle", "start-up-bundle/bundle.json", "start-up-bundle/bundle.json.minisig", "start-up-bundle/lib.sh",
		"start-up-bundle/m", "start-up-bundle/m/start", "bundle.json", "m", "m/start", "top",
	}
	odd := map[string]item{
		"a file": {"", "x", tar.TypeReg}, "an empty file": {"", "", tar.TypeReg}, "a folder": {"", "", tar.TypeDir},
		"a link to nothing": {"", "nothing", tar.TypeSymlink}, "a link to itself": {"", "start", tar.TypeSymlink},
		"a link to a folder": {"", "other", tar.TypeSymlink}, "a hard link": {"", "other/file", tar.TypeLink},
		"a pipe": {"", "", tar.TypeFifo},
	}
	m := newMachine(t, document.Document{}, script{name: "unused", start: "true"})
	raw := filepath.Join(m.dir, "bundle")
	m.serves("file://"+raw, "")
	seen := map[Code]int{}
	for base, items := range bases {
		for _, name := range names {
			for what, o := range odd {
				o.name = name
				under := func(i item) bool { return i.name == name || strings.HasPrefix(i.name, name+"/") }
				list := append(slices.DeleteFunc(slices.Clone(items), under), o,
					item{"other", "", tar.TypeDir}, item{"other/file", "x", tar.TypeReg}, item{"z/start", "#!/bin/sh\n", tar.TypeReg})
				m.write(raw, string(archive(t, list)), 0o600)
				if err := os.RemoveAll(m.root()); err != nil {
					t.Fatal(err)
				}
				code := m.start(nil)
				seen[code]++
				_, err := os.Lstat(m.paths().Bundle())
				switch {
				case code == CodeOpen || code == CodeUnpack:
					if err == nil {
						t.Errorf("%s, %s is %s: it is refused, and unpacked", base, name, what)
					}
				case code != CodeDone && code != CodeModule:
					t.Errorf("%s, %s is %s: exit code %d\n%s", base, name, what, code, m.log.String())
				}
			}
		}
	}
	t.Logf("how often each exit code was: %v", seen)
	if seen[CodeOpen] == 0 || seen[CodeUnpack] == 0 || seen[CodeDone] == 0 {
		t.Error("not all kinds are among them")
	}
}

// What the disk does is 16, and not a fault of the bundle.
func TestTroubleOfTheDiskIsNoOtherError(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EDQUOT, syscall.EIO, syscall.EMFILE, syscall.ENOSPC, syscall.ENOTDIR, syscall.EPERM, syscall.EROFS} {
		err := fmt.Errorf("unpack: %w", &os.PathError{Op: "open", Path: "/x", Err: errno})
		if code := codeOf(t.Context(), err); code != CodeRecord {
			t.Errorf("%v: exit code %d", errno, code)
		}
	}
	m := newMachine(t, document.Document{}, script{name: "a", start: "true"})
	m.write(filepath.Join(m.paths().Bundle()+".unverified", "x"), "", 0o600)
	m.write(filepath.Join(m.paths().State(), "modules"), "", 0o600)
	m.want(CodeDone)
}

// endless serves a bundle without an end, and calls reached when a client has taken
// part of it.
func endless(t *testing.T, reached func()) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Error(err)
			return
		}
		out, random, body := tar.NewWriter(z), rand.NewChaCha8([32]byte{}), make([]byte, 64<<10)
		for i := 0; err == nil; i++ {
			_, _ = random.Read(body)
			if err = out.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err == nil {
				_, err = out.Write(body)
			}
			if i == 100 {
				reached()
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestABundleWithoutAnEndEndsWithTheRun(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout string
		reached func()
		code    Code
		state   record.State
	}{
		"timeout": {"1s", func() {}, CodeDeadline, record.Failed},
		"SIGTERM": {"1h", func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM) }, CodeInterrupted, record.Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, document.Document{}, script{name: "unused", start: "true"})
			m.serves(endless(t, tt.reached), "sha256: "+strings.Repeat("0", 64)+"\ntimeout: "+tt.timeout+"\n")
			m.want(tt.code)
			if run, err := record.Load(m.paths().Record()); err != nil || run.State != tt.state || run.ExitCode != int(tt.code) {
				t.Errorf("recorded: %+v, %v", run, err)
			}
			if _, err := os.Lstat(m.paths().Bundle()); err == nil {
				t.Error("there is a bundle")
			}
		})
	}
}

// A start that is stopped while it looks through the bundle on the disk leaves it, and
// what is recorded of it.
func TestAStartThatIsStoppedKeepsTheBundle(t *testing.T) {
	m := newMachine(t, document.Document{},
		script{name: "a", start: `echo a >>"$root/ran"`},
		script{name: "b", start: `echo b >>"$root/ran"; [ -e "$root/fixed" ]`})
	m.want(CodeModule)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := m.startIn(ctx, nil); code != CodeInterrupted {
		t.Fatalf("exit code %d, want %d\n%s", code, CodeInterrupted, m.log.String())
	}
	if err := os.Remove(filepath.Join(m.dir, "bundle")); err != nil { // it cannot be fetched again
		t.Fatal(err)
	}
	m.write(filepath.Join(m.root(), "fixed"), "", 0o600)
	m.want(CodeDone)
	if got, want := m.read("ran"), "a\nb\nb\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

// The time-out of the run counts from when it is known, also while the last run's
// bundle is removed or looked through.
func TestTheTimeoutHoldsBeforeTheBundleIsFetched(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "true"})
	m.want(CodeDone)
	m.serves("file://"+filepath.Join(m.dir, "bundle"), "sha256: "+strings.Repeat("0", 64)+"\ntimeout: 1ns\n")
	m.want(CodeDeadline)
	if !strings.Contains(m.log.String(), "timeout: in the userdata") {
		t.Errorf("log:\n%s", m.log.String())
	}
	if run, err := record.Load(m.paths().Record()); err != nil || run.Bundle != nil || run.ExitCode != int(CodeDeadline) {
		t.Errorf("recorded: %+v, %v", run, err)
	}
}
