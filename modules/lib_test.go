// Package modules_test proves that lib.sh keeps its promises to the modules that
// use it: nothing is changed twice, nothing is half done, nothing leaks. The
// scripts run under the real bash, in a stand-in root whose bin/ holds small
// substitutes for apt-get, dnf, systemctl and the like, so neither root nor a
// network is needed.
package modules_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	debian12 = "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nID=debian\n"
	ubuntu24 = "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n"
	amzn2023 = "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n"
)

// host is a stand-in machine: a root folder and the environment a script sees.
type host struct {
	t    *testing.T
	root string
	env  []string
}

// result is what one script run left behind on its outputs.
type result struct {
	stdout, stderr string
	code           int
}

// newHost makes a stand-in machine that calls itself what osRelease says.
func newHost(t *testing.T, osRelease string) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir()}
	for _, dir := range []string{
		"etc", "run/systemd/system", "usr/sbin", "var/lib/apt", "var/lib/dpkg/updates",
		"pkgs", "units", "www", "work", "tmp",
	} {
		if err := os.MkdirAll(filepath.Join(h.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bin, err := filepath.Abs("testdata/bin")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin, filepath.Join(h.root, "bin")); err != nil {
		t.Fatal(err)
	}
	h.write("etc/os-release", osRelease)
	h.write("available", "")
	return h
}

// run executes script as the start script of a module called "sample".
func (h *host) run(script string) result {
	h.t.Helper()
	lib, err := filepath.Abs("lib.sh")
	if err != nil {
		h.t.Fatal(err)
	}
	start := h.write("work/start", "set -euo pipefail\n. \"${STARTUP_LIB:-../lib.sh}\"\n"+script)
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", start)
	cmd.Dir = filepath.Join(h.root, "work")
	cmd.Env = append([]string{
		"STARTUP_LIB=" + lib, "STARTUP_LIB_ROOT=" + h.root, "STARTUP_MODULE=sample",
		"STARTUP_STATE_DIR=" + filepath.Join(h.root, "state"), "TMPDIR=" + filepath.Join(h.root, "tmp"),
		"R=" + h.root,
	}, h.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// want runs script and demands its exit code; it returns what was printed.
func (h *host) want(code int, script string) result {
	h.t.Helper()
	got := h.run(script)
	if got.code != code {
		h.t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", got.code, code, got.stdout, got.stderr)
	}
	return got
}

func (h *host) write(name, content string) string {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) read(name string) string {
	h.t.Helper()
	content, err := os.ReadFile(filepath.Join(h.root, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(content)
}

func (h *host) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(h.root, name))
	return err == nil
}

// calls lists what the stand-ins were asked to do since the last call of calls.
func (h *host) calls() []string {
	h.t.Helper()
	if !h.exists("calls") {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(h.read("calls")), "\n")
	if err := os.Remove(filepath.Join(h.root, "calls")); err != nil {
		h.t.Fatal(err)
	}
	return lines
}

func (h *host) wantCalls(want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.calls()); diff != "" {
		h.t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// wantChanges demands that the last line of output is "changes: n".
func (r result) wantChanges(t *testing.T, n string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if got := lines[len(lines)-1]; got != "changes: "+n {
		t.Errorf("last line %q, want %q\nstdout: %s", got, "changes: "+n, r.stdout)
	}
}

func wantIn(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}

func wantNotIn(t *testing.T, text, part string) {
	t.Helper()
	if strings.Contains(text, part) {
		t.Errorf("%q contains %q", text, part)
	}
}

func TestEndings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, script, stdout, stderr string
		code                         int
	}{
		{name: "the end of the script is success", script: "log done", stdout: "done\n", code: 0},
		{name: "die fails", script: "die no way", stderr: "error: no way\n", code: 1},
		{name: "skip is 77", script: "skip not here", stdout: "skipped: not here\n", code: 77},
		{name: "retry_later is 75", script: "retry_later soon", stdout: "try again later: soon\n", code: 75},
		{name: "reboot_first is 194", script: "reboot_first kernel", stdout: "reboot needed: kernel\n", code: 194},
		{name: "a failing command is named with its line", script: "\n(exit 9)", stderr: "error: start line 4: \"( exit 9 )\" exited 9\n", code: 9},
		{name: "a failure in a substitution ends the script", script: "x=$(false; echo no)\nlog \"$x\"", stderr: "exited 1\n", code: 1},
		{name: "a failure in a pipeline ends the script", script: "false | cat", stderr: "exited 1\n", code: 1},
		{name: "an unset variable ends the script", script: "log $NOT_SET", stderr: "NOT_SET", code: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, debian12)
			got := h.want(test.code, test.script+"\n")
			if diff := cmp.Diff(test.stdout+"changes: 0\n", got.stdout); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if test.stderr == "" && got.stderr != "" {
				t.Errorf("stderr: %s", got.stderr)
			}
			wantIn(t, got.stderr, test.stderr)
			wantNotIn(t, got.stdout, "no\n")
			if left, _ := filepath.Glob(filepath.Join(h.root, "tmp", "*")); len(left) != 0 {
				t.Errorf("scratch folder left: %v", left)
			}
		})
	}
}

func TestAnErrorShowsTheCommandUnexpanded(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.env = []string{"OPT_PASSWORD=hunter2"}
	got := h.want(1, `test "$OPT_PASSWORD" = other`)
	wantIn(t, got.stderr, "OPT_PASSWORD")
	wantNotIn(t, got.stdout+got.stderr, "hunter2")
}

func TestChangesAreCountedInSubshellsToo(t *testing.T) {
	t.Parallel()
	got := newHost(t, debian12).want(0, "changed one\n(changed two)\nchanged three | cat\nx=$(changed four)\n: \"$x\"")
	got.wantChanges(t, "4")
	got = newHost(t, debian12).want(1, "changed one\nfalse")
	got.wantChanges(t, "1")
}

func TestSystem(t *testing.T) {
	t.Parallel()
	const show = "echo $OS_ID/$OS_VERSION/$OS_FAMILY\n"
	for _, test := range []struct {
		name, osRelease, script, stdout string
		code                            int
	}{
		{"debian", debian12, show, "debian/12/debian", 0},
		{"ubuntu is of debian's family", ubuntu24, show, "ubuntu/24.04/debian", 0},
		{"amazon linux is of red hat's family", amzn2023, show, "amzn/2023/redhat", 0},
		{"an unknown system", "ID=plan9\n", show, "plan9//unknown", 0},
		{"os-release is not sourced", debian12, "echo ${VERSION:-unset} ${NAME:-unset}", "unset unset", 0},
		{"os_is knows name and version", debian12, "os_is amzn debian-12 && ! os_is debian-13 && os_is debian && echo yes", "yes", 0},
		{"os_is does not take ubuntu for debian", ubuntu24, "os_is debian || echo no", "no", 0},
		{"need_os lets pass", amzn2023, "need_os amzn-2023\necho on", "on", 0},
		{"need_os skips", amzn2023, "need_os debian ubuntu-24.04\necho on", "skipped: written for debian ubuntu-24.04, and this is amzn 2023", 77},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := newHost(t, test.osRelease).want(test.code, test.script)
			if diff := cmp.Diff(test.stdout+"\nchanges: 0\n", got.stdout); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScriptsRunWithoutTheAgent(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	lib, err := os.ReadFile("lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	h.write("lib.sh", string(lib)) // ../lib.sh, seen from the module
	start := h.write("work/start", "set -euo pipefail\n. \"${STARTUP_LIB:-../lib.sh}\"\nlog \"$STARTUP_MODULE ${STARTUP_STATE_DIR#\"$STARTUP_LIB_ROOT\"}\"\n")
	cmd := exec.CommandContext(t.Context(), "bash", start)
	cmd.Dir = filepath.Dir(start)
	cmd.Env = []string{"STARTUP_LIB_ROOT=" + h.root}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if diff := cmp.Diff("work /var/lib/startup-agent/state/work\nchanges: 0\n", string(out)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
