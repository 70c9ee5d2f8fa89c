package sandbox

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
	"syscall"
	"testing"
)

// What this program is started as, other than as a test.
const (
	roleVariable = "SANDBOX_TEST_ROLE"
	roleUser     = "user"   // a test again, as a normal user
	roleMounts   = "mounts" // a test again, in a mount namespace of its own
	roleCaller   = "caller" // runs a sandbox until it is killed
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Command {
		os.Exit(Inside())
	}
	if os.Getenv(roleVariable) == roleCaller {
		_, err := Run(context.Background(), Options{
			Program: "/bin/sh", Args: []string{"-c", "echo up; exec sleep 1000"}, Env: os.Environ(),
			Root: os.Getenv("ROOT"), Scratch: os.Getenv("SCRATCH"), Kinds: []Kind{Kind(os.Getenv("KIND"))}, Stdout: os.Stdout, Stderr: os.Stderr,
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// again runs this test in a process of its own: as a normal user, or as attr says.
func again(t *testing.T, role string, attr *syscall.SysProcAttr) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user or mount")
	}
	dir := open(t)
	program := filepath.Join(dir, "test")
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(program, text, 0o755), os.Mkdir(filepath.Join(dir, "home"), 0o700))
	}
	if err == nil && attr.Credential != nil {
		err = os.Chown(filepath.Join(dir, "home"), int(attr.Credential.Uid), int(attr.Credential.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "-test.v", "-test.run", "^"+strings.Split(t.Name(), "/")[0]+"$")
	c.Dir = filepath.Join(dir, "home")
	c.Env = append(os.Environ(), roleVariable+"="+role, "HOME="+c.Dir, "TMPDIR="+c.Dir)
	c.SysProcAttr = attr
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && role == roleMounts {
		t.Skip(err) // in a chroot there are no mount namespaces
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Logf("%s", out)
	}
}

// asUser also runs the test as a normal user, if it is run by root.
func asUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Run("as a normal user", func(t *testing.T) {
			again(t, roleUser, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
		})
	}
}

// open returns a temporary folder that every user may enter.
func open(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kinds are those that protect this user.
func kinds() []Kind {
	if os.Geteuid() == 0 {
		return []Kind{Copy, ReadOnly}
	}
	return []Kind{Copy, ReadOnly, Landlock}
}

// try runs a script in a sandbox and returns what it printed. It skips the test
// if this machine has no such sandbox.
func try(t *testing.T, o Options, script string) (Outcome, string) {
	t.Helper()
	var out bytes.Buffer
	o.Program, o.Args, o.Stdout, o.Stderr = "/bin/sh", []string{"-c", script}, &out, &out
	o.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	base := filepath.Dir(o.Scratch)
	if o.Scratch == "" {
		base = t.TempDir()
		o.Scratch = filepath.Join(base, "scratch")
	}
	if o.Root == "" {
		o.Root = filepath.Join(base, "root")
	}
	if err := errors.Join(os.MkdirAll(o.Scratch, 0o700), os.MkdirAll(o.Root, 0o700)); err != nil {
		t.Fatal(err)
	}
	outcome, err := Run(context.Background(), o)
	var unprotected *UnprotectedError
	if errors.As(err, &unprotected) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Remove(o.Scratch); err != nil {
		t.Errorf("the scratch folder cannot be removed: %v", err)
	}
	if _, err := os.Lstat(o.Scratch); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the scratch folder is still there: %v", err)
	}
	return outcome, out.String()
}

// machine is what must be the same afterwards: all of these folders, to the last
// change of each file's status, and the kernel's settings.
func machine(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
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
			s := info.Sys().(*syscall.Stat_t)
			seen[path] = fmt.Sprintf("%v %d %d:%d %d %v", info.Mode(), s.Ino, s.Uid, s.Gid, s.Size, s.Ctim)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/swappiness", "/proc/swaps", "/proc/self/mountinfo"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen[file] = string(text)
	}
	return seen
}
