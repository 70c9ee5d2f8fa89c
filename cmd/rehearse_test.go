package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sandboxed reports whether rehearse can give modules a copy of this machine.
func sandboxed() bool {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	module := filepath.Join(dir, "one")
	if os.Mkdir(module, 0o755) != nil || os.WriteFile(filepath.Join(module, "start"), []byte("#!/bin/sh\n"), 0o755) != nil {
		return false
	}
	out, err := exec.Command("startup-packer", "rehearse", dir).CombinedOutput()
	return err == nil && bytes.Contains(out, []byte("in a copy of this machine"))
}

// stage is a folder that every user may read, with both programs and a personality.
type stage struct {
	dir, home string
	user      *syscall.Credential // nil: whoever runs the test
}

func newStage(t *testing.T, user *syscall.Credential, personality string) stage {
	t.Helper()
	s := stage{dir: t.TempDir(), user: user}
	s.home = filepath.Join(s.dir, "home")
	err := errors.Join(os.Chmod(s.dir, 0o755), os.Chmod(filepath.Dir(s.dir), 0o755), os.Mkdir(s.home, 0o700),
		os.WriteFile(filepath.Join(s.dir, "p.yaml"), []byte(personality), 0o644))
	if err == nil && user != nil {
		err = os.Chown(s.home, int(user.Uid), int(user.Gid))
	}
	for _, name := range []string{"startup-packer", "startup-agent"} {
		path, err1 := exec.LookPath(name)
		text, err2 := os.ReadFile(path)
		err = errors.Join(err, err1, err2, os.WriteFile(filepath.Join(s.dir, name), text, 0o755))
	}
	if err == nil {
		err = os.CopyFS(filepath.Join(s.dir, "modules"), os.DirFS("../modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s stage) module(t *testing.T, name, start string) {
	t.Helper()
	dir := filepath.Join(s.dir, "modules", name)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "start"), []byte(start), 0o755)); err != nil {
		t.Fatal(err)
	}
}

func (s stage) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(s.dir, "startup-packer"), append([]string{"rehearse", filepath.Join(s.dir, "p.yaml")}, args...)...)
	c.Dir = s.home
	c.Env = append(os.Environ(), "HOME="+s.home, "TMPDIR="+s.home, "AWS_SECRET_ACCESS_KEY=of-this-test")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	return c
}

// empty fails the test if a rehearsal left something behind.
func (s stage) empty(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(s.home, "startup-rehearse-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// users are root, if the tests run as root, and a normal user.
func users() map[string]*syscall.Credential {
	if os.Geteuid() != 0 {
		return map[string]*syscall.Credential{"a normal user": nil}
	}
	return map[string]*syscall.Credential{"root": nil, "a normal user": {Uid: 65534, Gid: 65534}}
}

// etc is the state of /etc and the host's name: of files also their last change.
func etc(t *testing.T) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir("/etc", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		seen[path] = fmt.Sprint(info.Mode(), stat.Uid, stat.Gid, stat.Size, stat.Ino, stat.Ctim)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen["host name"], err = os.Hostname(); err != nil {
		t.Fatal(err)
	}
	return seen
}

// A personality that names the machine, adds users and writes to /etc leaves the
// machine that it is rehearsed on as it was, for root and for a normal user.
func TestRehearsalChangesNothing(t *testing.T) {
	const personality = `name: p
on_failure: continue
modules:
  - use: hostname
    options: {name: rehearsed-1}
  - use: users
    options: {keys: "rehearsed ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
  - write
`
	for name, user := range users() {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, user, personality)
			s.module(t, "write", `#!/bin/sh
echo rehearsed >/etc/motd; echo rehearsed >/etc/rehearsed; mkdir -p /opt/rehearsed; rm -rf /etc/skel; env | grep -c AWS_SECRET
tr '\0' '\n' </proc/$PPID/environ | grep AWS_SECRET; hostname; test -e /etc/rehearsed
`)
			before := etc(t)
			out, err := s.command(t.Context()).CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if bytes.Contains(out, []byte("cannot be protected")) {
				t.Skipf("%s", out)
			}
			if diff := cmp.Diff(before, etc(t)); diff != "" {
				t.Errorf("the machine is changed (-before +after):\n%s", diff)
			}
			if _, err := os.Lstat("/opt/rehearsed"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("/opt/rehearsed is on the machine: %v", err)
			}
			if bytes.Contains(out, []byte("of-this-test")) {
				t.Errorf("the modules see the caller's AWS credentials:\n%s", out)
			}
			s.empty(t)
			switch {
			case !bytes.Contains(out, []byte("in a copy of this machine")): // it has less to show
			case user == nil && os.Geteuid() == 0:
				if err != nil || !bytes.Contains(out, []byte("write: | rehearsed-1")) || !bytes.Contains(out, []byte("changed there, not here: ")) {
					t.Errorf("root can do less there than on an instance: %v\n%s", err, out)
				}
			default:
				want := "sudo startup-packer rehearse " + filepath.Join(s.dir, "p.yaml")
				if exit == nil || exit.ExitCode() != 15 || !bytes.Contains(out, []byte(want+"\n")) {
					t.Errorf("%v, and no %q in\n%s", err, want, out)
				}
			}
		})
	}
}

// watched is output in which a test waits for words.
type watched struct {
	mu    sync.Mutex
	text  strings.Builder
	waits map[string]chan struct{} // closed when the word was written
}

func newWatched(words ...string) *watched {
	w := &watched{waits: map[string]chan struct{}{}}
	for _, word := range words {
		w.waits[word] = make(chan struct{})
	}
	return w
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.text.String()
	w.text.Write(b)
	for word, seen := range w.waits {
		if !strings.Contains(before, word) && strings.Contains(w.text.String(), word) {
			close(seen)
		}
	}
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// Ctrl-C, which a terminal sends to the whole process group, ends a rehearsal with
// its table, advice that holds, and the files that it names.
func TestInterruptedRehearsal(t *testing.T) {
	for name, user := range users() {
		for _, how := range []string{"--here", ""} {
			t.Run(name+how, func(t *testing.T) {
				s := newStage(t, user, "name: p\nmodules: [slow]\n")
				s.module(t, "slow", "#!/bin/sh\ntrap 'echo is stopping; sleep 1; kill $!; exit 1' TERM\necho has begun\nsleep 1000 &\nwait\n")
				kept, picture := filepath.Join(s.home, "kept"), filepath.Join(s.home, "run.svg")
				args := []string{"--keep", kept, "--timeline", picture}
				if how != "" {
					args = append(args, how)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				c := s.command(ctx, args...)
				c.WaitDelay = 10 * time.Second
				c.SysProcAttr.Setpgid = true
				stderr := newWatched("has begun", "is stopping")
				var stdout bytes.Buffer
				c.Stdout, c.Stderr = &stdout, stderr
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				var waited error
				ended := make(chan struct{})
				go func() {
					waited = c.Wait()
					close(ended)
				}()
				for _, word := range []string{"has begun", "is stopping"} { // an impatient user presses it twice
					select {
					case <-stderr.waits[word]:
						if err := syscall.Kill(-c.Process.Pid, syscall.SIGINT); err != nil {
							t.Fatal(err)
						}
					case <-ended:
					}
				}
				<-ended
				if strings.Contains(stderr.String(), "cannot be protected") {
					t.Skip(stderr.String())
				}
				var exit *exec.ExitError
				if !errors.As(waited, &exit) || exit.ExitCode() != 130 {
					t.Fatalf("%v\n%s%s", waited, stdout.String(), stderr.String())
				}
				again := "startup-packer rehearse " + filepath.Join(s.dir, "p.yaml")
				for _, want := range []string{"interrupted in module slow", "startup-agent logs --root " + kept + "/root\n", again} {
					if !strings.Contains(stdout.String(), want) {
						t.Errorf("no %q in\n%s", want, stdout.String())
					}
				}
				if strings.Contains(stdout.String(), "next start of the machine") {
					t.Errorf("nothing goes on by itself:\n%s", stdout.String())
				}
				if text, err := os.ReadFile(picture); err != nil || !bytes.Contains(text, []byte("<svg")) {
					t.Errorf("no picture: %v", err)
				}
				out, err := exec.Command("startup-agent", "logs", "--root", filepath.Join(kept, "root")).CombinedOutput()
				if err != nil || !bytes.Contains(out, []byte("has begun")) {
					t.Errorf("what the advice says fails: %v\n%s", err, out)
				}
				s.empty(t)
			})
		}
	}
}
