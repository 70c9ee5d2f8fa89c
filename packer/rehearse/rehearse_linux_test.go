package rehearse

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"startup-bundle/packer/sandbox"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == sandbox.Command {
		os.Exit(sandbox.Inside())
	}
	os.Exit(m.Run())
}

// shared is a buffer that the agent's output and this program's meet in.
type shared struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// rehearsed runs a stand-in for the agent, which does what script says.
func rehearsed(t *testing.T, o Options, script string) (code int, said string, err error) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for name, text := range map[string]string{"agent": "#!/bin/sh\n[ \"$1\" = run ] || exit 0\n" + script, "p/one/start": "#!/bin/sh\n"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	var out shared
	o.Source, o.Agent, o.Again, o.Stdout, o.Stderr = filepath.Join(dir, "p"), filepath.Join(dir, "agent"), "startup-packer rehearse p", &out, &out
	code, err = Run(t.Context(), o)
	if left, _ := filepath.Glob(filepath.Join(dir, "startup-rehearse-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return code, out.text.String(), err
}

// What is said beforehand is what is done.
func TestWhatIsAnnounced(t *testing.T) {
	for kind, want := range map[sandbox.Kind]string{
		sandbox.Copy:     "in a copy of this machine: what they change is thrown away\n",
		sandbox.ReadOnly: "see this machine read-only",
		sandbox.Landlock: "no namespaces here",
	} {
		t.Run(string(kind), func(t *testing.T) {
			code, said, err := rehearsed(t, Options{kinds: []sandbox.Kind{kind}}, "echo x >/etc/rehearse-test\nexit 15\n")
			var unprotected *sandbox.UnprotectedError
			if errors.As(err, &unprotected) {
				t.Skip(err)
			}
			if err != nil || code != 15 || strings.Count(said, want) != 1 {
				t.Errorf("code %d, %v, want %q in\n%s", code, err, want, said)
			}
			if os.Geteuid() != 0 && !strings.Contains(said, "need root: sudo startup-packer rehearse p\n") {
				t.Errorf("a normal user is not told of root:\n%s", said)
			}
			if _, err := os.Lstat("/etc/rehearse-test"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("/etc/rehearse-test is on the machine: %v", err)
				_ = os.Remove("/etc/rehearse-test")
			}
		})
	}
}

// Without a sandbox nothing runs, and what to do is said.
func TestNoSandboxNoRun(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "kept")
	mark := filepath.Join(t.TempDir(), "ran")
	_, said, err := rehearsed(t, Options{kinds: []sandbox.Kind{}, Keep: keep}, "touch "+mark+"\n")
	var unprotected *sandbox.UnprotectedError
	if !errors.As(err, &unprotected) || !strings.Contains(err.Error(), "--here") {
		t.Errorf("%v\n%s", err, said)
	}
	for _, path := range []string{mark, filepath.Join(keep, "root")} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}

func TestListed(t *testing.T) {
	paths := []string{"/a/b/c/d", "/a/b", "/c", "/d/e/f/g/h", "/e/f", "/g/h", "/i/j", "/k/l", "/m/n"}
	if got, want := listed(paths[:2], "paths"), "/a/b, /a/b/c/d"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := listed(paths, "paths"), "/c, /a/b, /e/f, /g/h, /i/j, /k/l, /m/n, /a/b/c/d … (9 paths)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
