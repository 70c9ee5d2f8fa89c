package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attempts are what modules do, by accident or not. $OWN is the test's own folder
// of files, $PID a process outside.
const attempts = `
echo rehearsed >/etc/hostname; echo rehearsed >/etc/motd; echo new >/etc/sandbox-test; rm -rf /etc/sandbox-* /etc/skel
mkdir -p /opt/sandbox-test/a /srv/sandbox-test /sandbox-test; echo x >/usr/bin/sandbox-test; echo x >/var/lib/sandbox-test
useradd -m sandbox-test; groupadd sandbox-test; userdel -r nobody; chown -R 1:1 /etc; chmod -R 700 /etc; touch /etc/passwd
mv /etc/passwd /etc/passwd.away; ln -sf /nowhere /etc/resolv.conf; truncate -s 0 /etc/shadow
hostname sandbox-test; domainname sandbox-test; sysctl -w kernel.hostname=sandbox-test
echo 1 >/proc/sys/net/ipv4/ip_forward; echo 99 >/proc/sys/vm/swappiness; swapoff -a
for dir in /etc /usr /var / /proc /proc/sys /proc/sysrq-trigger /sys $OWN; do
  mount -o remount,rw $dir; mount -o remount,bind,rw $dir; umount -l $dir; umount $dir
done
echo 1 >/proc/sys/net/ipv4/ip_forward; echo 99 >/proc/sys/vm/swappiness; echo sandbox-test >/proc/sys/kernel/hostname
mkdir -p /tmp/p; mount -t proc p /tmp/p; mount -t sysfs s /tmp/p; unshare -pf mount -t proc p /tmp/p
unshare -pf sh -c 'mount -t proc p /tmp/p && echo sandbox-test >/tmp/p/sys/kernel/hostname'
unshare -n sh -c 'mount -t sysfs s /tmp/p'; unshare -Urm sh -c 'mount -o remount,bind,rw /etc; echo x >/etc/sandbox-test'
unshare -Ur hostname sandbox-test; nsenter -t 1 -a hostname sandbox-test; chroot /proc/1/root sh -c 'echo x >/etc/sandbox-test'
for root in /proc/[0-9]*/root /proc/[0-9]*/cwd; do echo x >$root/etc/sandbox-test; done
mknod /tmp/disk b 254 0 && echo x >/tmp/disk; for disk in /dev/vda /dev/sda /dev/nvme0n1 /dev/mem /dev/kmsg; do [ ! -e $disk ] || echo x >>$disk; done
date -s 2001-01-01; kill -9 $PID; kill 1; kill -9 1; reboot -f
echo x >>$OWN/file; rm -rf $OWN/folder; mkdir $OWN/new; chmod 777 $OWN/file; mv $OWN/file $OWN/other; rm -rf $OWN
`

// The machine is the same afterwards, whatever was tried, for every kind of
// sandbox, as root and as a normal user.
func TestNothingReachesTheMachine(t *testing.T) {
	asUser(t)
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			own := t.TempDir()
			for name, mode := range map[string]fs.FileMode{"file": 0o644, "folder/deep/er": 0o600, "folder/program": 0o755, "folder/shut": 0o000} {
				path := filepath.Join(own, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("as it was\n"), mode)); err != nil {
					t.Fatal(err)
				}
			}
			outside := exec.Command("sleep", "1000")
			if err := outside.Start(); err != nil {
				t.Fatal(err)
			}
			alive := true
			t.Cleanup(func() {
				if alive {
					_ = outside.Process.Kill()
				}
				_ = outside.Wait()
			})
			script := attempts
			if kind == Landlock { // what it does not keep its user from, as its documentation says
				script = strings.NewReplacer("chmod 777 $OWN/file;", "").Replace(script)
			}
			script = fmt.Sprintf("OWN=%s PID=%d\n%s\necho tried all\n", own, outside.Process.Pid, script)
			before := machine(t, "/etc", own)
			outcome, out := try(t, Options{Kinds: []Kind{kind}}, script)
			if diff := cmp.Diff(before, machine(t, "/etc", own)); diff != "" {
				t.Errorf("the machine is changed (-before +after):\n%s", diff)
			}
			for _, path := range []string{"/opt/sandbox-test", "/srv/sandbox-test", "/sandbox-test", "/usr/bin/sandbox-test", "/var/lib/sandbox-test", "/home/sandbox-test"} {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is on the machine: %v", path, err)
				}
			}
			var status syscall.WaitStatus
			if pid, err := syscall.Wait4(outside.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || err != nil {
				alive = false
				t.Errorf("a process outside has ended: %v, %v", status, err)
			}
			if !strings.HasSuffix(out, "tried all\n") || outcome.Code != 0 || outcome.Killed != "" {
				t.Errorf("it did not come to its end: %+v\n%s", outcome, out)
			}
		})
	}
}

// In a copy root can do what a module on an instance does, and is told of it.
func TestCopyIsUseful(t *testing.T) {
	asUser(t)
	script := `set -e
echo x >/etc/sandbox-new; mkdir -p /opt/sandbox/a /srv/sandbox; echo x >/opt/sandbox/a/b; echo x >/sandbox-file
echo x >"$TMP"; hostname sandbox; test "$(hostname)" = sandbox; test "$(id -u)" = 0; test $$ != 1
`
	want := []string{"/etc/sandbox-new", "/opt/sandbox/", "/sandbox-file", "/srv/sandbox/"}
	if os.Geteuid() == 0 {
		script += "echo x >/etc/hostname; useradd sandbox; grep -q ^sandbox: /etc/passwd; chown sandbox /opt/sandbox; rm /etc/passwd-\n"
		want = append(want, "/etc/hostname", "/etc/passwd", "/etc/passwd- (removed)")
	}
	outcome, out := try(t, Options{Kinds: []Kind{Copy}}, "TMP=/tmp/sandbox-file\n"+script)
	if outcome.Code != 0 {
		t.Fatalf("exit code %d\n%s", outcome.Code, out)
	}
	for _, path := range append(want, "/tmp/sandbox-file") {
		if !slices.Contains(outcome.Changed, path) {
			t.Errorf("%s is not among what changed: %q", path, outcome.Changed)
		}
	}
	for _, path := range outcome.Changed {
		if strings.HasSuffix(path, "/opt/sandbox/a/b") {
			t.Errorf("%s is listed beside its folder", path)
		}
	}
}

// A read-only view and Landlock let the program write in its own folder alone.
func TestOnlyTheRootIsWritten(t *testing.T) {
	asUser(t)
	for _, kind := range kinds()[1:] {
		t.Run(string(kind), func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			outcome, out := try(t, Options{Kinds: []Kind{kind}, Root: root},
				"echo x >"+root+"/mine && echo x >/dev/null && ! echo x >/etc/sandbox-new && ! echo x >>/etc/hostname && ! mkdir /opt/sandbox && mkdir "+root+"/d && echo done")
			if outcome.Code != 0 || !strings.HasSuffix(out, "done\n") || len(outcome.Changed) > 0 {
				t.Errorf("%+v\n%s", outcome, out)
			}
			if _, err := os.Stat(filepath.Join(root, "mine")); err != nil {
				t.Error(err)
			}
		})
	}
}

// Scratch folders lie in one of the folders that are copied, and have any name.
func TestScratchAnywhere(t *testing.T) {
	asUser(t)
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm", "/run", os.Getenv("HOME")} {
		for _, name := range []string{"plain", `a:b,c\d e`} {
			dir, err := os.MkdirTemp(parent, "sandbox-test-")
			if err != nil {
				continue // not this user's
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			t.Run(filepath.Join(parent, name), func(t *testing.T) {
				base := filepath.Join(dir, name)
				script := "set -e; echo x >'" + base + "/root/mine'; echo x >/etc/sandbox-new"
				if parent != os.TempDir() && parent != os.Getenv("HOME") { // these may be in another user's folder
					script += "; echo x >" + parent + "/sandbox-new"
				}
				outcome, out := try(t, Options{Kinds: []Kind{Copy}, Scratch: filepath.Join(base, "scratch")}, script)
				if outcome.Code != 0 {
					t.Errorf("%+v\n%s", outcome, out)
				}
				if _, err := os.Stat(filepath.Join(base, "root/mine")); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(parent + "/sandbox-new"); !errors.Is(err, fs.ErrNotExist) {
					t.Error("a file beside the scratch folder is on the machine")
				}
				if !slices.Contains(outcome.Changed, "/etc/sandbox-new") {
					t.Errorf("changed: %q", outcome.Changed)
				}
			})
		}
	}
}

// Overlays do not reach over mounts: the folders beside them are copies still.
func TestMountsInTheWay(t *testing.T) {
	if os.Getenv(roleVariable) != roleMounts {
		again(t, roleMounts, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
		return
	}
	for _, dir := range []string{"", "/with space/mounted", "/a/b/c/d"} {
		if err := errors.Join(os.MkdirAll("/srv"+dir, 0o755), syscall.Mount("tmpfs", "/srv"+dir, "tmpfs", 0, "")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll("/srv/beside/x", 0o755), os.WriteFile("/srv/file", []byte("x\n"), 0o600), os.Symlink("beside", "/srv/link")); err != nil {
		t.Fatal(err)
	}
	before := machine(t, "/srv")
	outcome, out := try(t, Options{Kinds: []Kind{Copy}}, `set -e; cd /srv
for dir in . beside link/x "with space" "with space/mounted" a a/b; do echo x >"$dir/new"; done; test "$(cat file)" = x; ! echo y >file
! echo x >a/b/c/new; ! echo x >a/b/c/d/new`)
	if diff := cmp.Diff(before, machine(t, "/srv")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if outcome.Code != 0 || !slices.Contains(outcome.ReadOnly, "/srv/a/b/c") || !slices.Contains(outcome.Changed, "/srv/new") || !slices.Contains(outcome.Changed, "/srv/with space/mounted/new") {
		t.Errorf("%+v\n%s", outcome, out)
	}
}

// An overlay's files cannot lie on another overlay, which a container's root is.
func TestScratchOnAnOverlay(t *testing.T) {
	if os.Getenv(roleVariable) != roleMounts {
		again(t, roleMounts, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
		return
	}
	if err := syscall.Mount("tmpfs", "/srv", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"upper", "work", "lower", "here"} {
		if err := os.Mkdir("/srv/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("overlay", "/srv/here", "overlay", 0, "lowerdir=/srv/lower,upperdir=/srv/upper,workdir=/srv/work"); err != nil {
		t.Skip(err)
	}
	before := machine(t, "/etc")
	outcome, out := try(t, Options{Kinds: []Kind{Copy}, Scratch: "/srv/here/scratch"}, "echo x >/etc/motd && echo x >/srv/here/root/mine")
	if diff := cmp.Diff(before, machine(t, "/etc")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if outcome.Code != 0 || !slices.Contains(outcome.Changed, "/etc/motd") {
		t.Errorf("%+v\n%s", outcome, out)
	}
	if _, err := os.Stat("/srv/here/root/mine"); err != nil {
		t.Error(err)
	}
}

func TestKindsAreTriedInOrder(t *testing.T) {
	asUser(t)
	usable := kinds()
	for i := range len(usable) + 1 {
		root := t.TempDir()
		var tried, begun []Kind
		scratch := filepath.Join(t.TempDir(), "scratch")
		if err := os.Mkdir(scratch, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := Run(context.Background(), Options{
			Program: "/bin/sh", Args: []string{"-c", "echo x >" + root + "/ran"}, Root: root, Scratch: scratch, Stdout: io.Discard, Stderr: io.Discard,
			Begin: func(k Kind) { begun = append(begun, k) },
			refuse: func(k Kind) error {
				if tried = append(tried, k); slices.Contains(usable[:i], k) {
					return errors.New("not this one")
				}
				return nil
			},
		})
		var unprotected *UnprotectedError
		_, ran := os.Stat(filepath.Join(root, "ran"))
		switch {
		case errors.As(err, &unprotected) && i < len(usable):
			t.Skip(err)
		case i < len(usable):
			if err != nil || ran != nil || !slices.Equal(tried, usable[:i+1]) || !slices.Equal(begun, usable[i:i+1]) {
				t.Errorf("%d refused: %v, tried %v, begun %v, ran %v", i, err, tried, begun, ran)
			}
		case !errors.As(err, &unprotected) || ran == nil || len(begun) > 0 || !strings.Contains(err.Error(), "--here"):
			t.Errorf("all refused: %v, begun %v, ran %v", err, begun, ran)
		}
	}
}

// What the caller's end means: asked to stop, the program may say its last; killed,
// nothing of it or of the scratch folder is left.
func TestStop(t *testing.T) {
	asUser(t)
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			base := t.TempDir()
			if err := errors.Join(os.Mkdir(filepath.Join(base, "scratch"), 0o700), os.Mkdir(filepath.Join(base, "root"), 0o700)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r, w := io.Pipe()
			go func() {
				_, _ = io.ReadFull(r, make([]byte, 3))
				cancel()
				_, _ = io.Copy(io.Discard, r)
			}()
			outcome, err := Run(ctx, Options{
				Program: "/bin/sh", Args: []string{"-c", "trap 'kill $!; exit 7' TERM; echo up; sleep 1000 & wait"}, Kinds: []Kind{kind},
				Root: filepath.Join(base, "root"), Scratch: filepath.Join(base, "scratch"), Stdout: w, Stderr: io.Discard,
			})
			w.Close()
			var unprotected *UnprotectedError
			if errors.As(err, &unprotected) {
				t.Skip(err)
			}
			if err != nil || outcome.Code != 7 {
				t.Errorf("%+v, %v", outcome, err)
			}
		})
	}
}

func TestKilledCallerLeavesNothing(t *testing.T) {
	asUser(t)
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			base := t.TempDir()
			root, scratch := filepath.Join(base, "root"), filepath.Join(base, "scratch")
			if err := errors.Join(os.MkdirAll(root, 0o700), os.MkdirAll(filepath.Join(scratch, "a/b"), 0o700)); err != nil {
				t.Fatal(err)
			}
			c := exec.Command("/proc/self/exe")
			c.Env = append(os.Environ(), roleVariable+"="+roleCaller, "ROOT="+root, "SCRATCH="+scratch, "KIND="+string(kind))
			out, err := c.StdoutPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
				_ = c.Wait()
				t.Skip("no such sandbox here")
			}
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out) // ends when no process of the sandbox is left
			_ = c.Wait()
			if _, err := os.Lstat(scratch); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the scratch folder is left: %v", err)
			}
			if _, err := os.Stat(root); err != nil {
				t.Errorf("the root is gone too: %v", err)
			}
		})
	}
}

func TestRemoveShutFolders(t *testing.T) {
	asUser(t)
	dir := filepath.Join(t.TempDir(), "dir")
	for _, name := range []string{"a/work/work", "b/c/d", "e"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/work/work", "b/c/d", "b/c", "b", "e"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.Mkdir(outside, 0o500), os.Symlink(outside, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
	if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("what a link led to is changed: %v, %v", info, err)
	}
}

func TestWithoutCredentials(t *testing.T) {
	got := WithoutCredentials([]string{"PATH=/bin", "AWS_SECRET_ACCESS_KEY=x", "AWS_PROFILE=y", "HOME=/root", "AWS_EC2_METADATA_SERVICE_ENDPOINT=z"})
	if want := []string{"PATH=/bin", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
