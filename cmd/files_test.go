package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	agent "startup-bundle/cmd/startup-agent/cli"
	packer "startup-bundle/cmd/startup-packer/cli"
)

// machine is a scratch root with a bundle that has one module, and its userdata.
type machine struct{ dir, root, userdata string }

func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{dir, filepath.Join(dir, "root"), filepath.Join(dir, "ud")}
	handMade(t, filepath.Join(dir, "b.tar"), map[string]string{"b/hello/start": "#!/bin/sh\necho out\necho ran >>" + dir + "/ran\n"})
	write(t, m.userdata, "#startup-bundle\nurl: file://"+dir+"/b.tar\n", 0o600)
	return m
}

// run runs the agent's command below the scratch root.
func (m machine) agent(t *testing.T, args ...string) (int, string) {
	t.Helper()
	return said(t, agent.Main, append(args, "--root", m.root)...)
}

func (m machine) path(name string) string { return filepath.Join(m.root, name) }

func (m machine) ran(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "ran"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "ran\n")
}

const (
	recordPath = "var/lib/startup-agent/record.json"
	statusPath = "run/startup-agent/status.json"
	logPath    = "var/log/startup-agent/agent.jsonl"
)

// planted puts something that is no regular file at a path, by what it is.
func planted(t *testing.T) map[string]func(path string) error {
	t.Helper()
	kinds := map[string]func(path string) error{
		"FIFO":           func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder":         func(path string) error { return os.Mkdir(path, 0o700) },
		"link to device": func(path string) error { return os.Symlink("/dev/null", path) },
		"socket":         func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	}
	for name, plant := range kinds {
		kinds[name] = func(path string) error {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			return plant(path)
		}
	}
	return kinds
}

// A path that is no regular file is refused by its name, and never waited for.
func TestWhatIsNoFileIsRefusedAtOnce(t *testing.T) {
	for kind, plant := range planted(t) {
		t.Run("record, "+kind, func(t *testing.T) {
			m := newMachine(t)
			if err := plant(m.path(recordPath)); err != nil {
				t.Fatal(err)
			}
			if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 16 || !strings.Contains(out, recordPath) {
				t.Errorf("run: exit code %d: %s", code, out)
			}
			if n := m.ran(t); n != 0 {
				t.Errorf("the module ran %d times", n)
			}
			os.RemoveAll(m.path("run")) // else status has a public copy to show
			for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", "--wait", "--timeout", "1m"}, {"check"}} {
				if code, out := m.agent(t, args...); code != 16 || !strings.Contains(out, recordPath) {
					t.Errorf("%q: exit code %d: %s", args, code, out)
				}
			}
			for _, args := range [][]string{{"logs"}, {"logs", "-f"}, {"logs", "--list"}, {"timeline"}, {"bake-check"}, {"collect", "-o", m.dir + "/r.tar.gz"}} {
				m.agent(t, args...)
			}
			if info, err := os.Lstat(m.path(recordPath)); err != nil || info.Mode().IsRegular() {
				t.Errorf("it was replaced: %v, %v", info, err)
			}
			if code, out := m.agent(t, "reset", "--yes"); code != 0 {
				t.Errorf("reset: exit code %d: %s", code, out)
			}
			if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 0 || m.ran(t) != 1 {
				t.Errorf("run after reset: exit code %d: %s", code, out)
			}
		})
		t.Run("status, "+kind, func(t *testing.T) {
			m := newMachine(t)
			if err := plant(m.path(statusPath)); err != nil {
				t.Fatal(err)
			}
			code, out := m.agent(t, "run", "--userdata", m.userdata)
			named := strings.Count(out, "WARN") == 1 && strings.Contains(out, statusPath)
			if code != 0 || m.ran(t) != 1 || !named && kind != "link to device" { // the agent may replace its own link
				t.Errorf("run: exit code %d: %s", code, out)
			}
			if err := plant(m.path(statusPath)); err != nil {
				t.Fatal(err)
			}
			if code, out := m.agent(t, "status"); code != 0 || !strings.Contains(out, "succeeded") || !strings.Contains(out, statusPath) {
				t.Errorf("status: exit code %d: %s", code, out)
			}
			os.Remove(m.path(recordPath))
			if code, out := m.agent(t, "status"); code != 16 || !strings.Contains(out, statusPath) {
				t.Errorf("status without a record: exit code %d: %s", code, out)
			}
		})
		t.Run("userdata, "+kind, func(t *testing.T) {
			m := newMachine(t)
			if err := plant(m.userdata); err != nil {
				t.Fatal(err)
			}
			if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 10 || !strings.Contains(out, m.userdata) {
				t.Errorf("run: exit code %d: %s", code, out)
			}
			if code, out := m.agent(t, "validate", m.userdata); code != 1 || !strings.Contains(out, m.userdata) {
				t.Errorf("validate: exit code %d: %s", code, out)
			}
			if m.ran(t) != 0 {
				t.Error("the module ran")
			}
		})
		t.Run("leftover of a record, "+kind, func(t *testing.T) {
			m := newMachine(t)
			if err := plant(m.path(recordPath + ".new")); err != nil {
				t.Fatal(err)
			}
			if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 0 || m.ran(t) != 1 {
				t.Errorf("run: exit code %d: %s", code, out)
			}
		})
	}
}

// A log that cannot be opened costs the log, and one warning.
func TestRunGoesOnWithoutItsLog(t *testing.T) {
	kinds := planted(t)
	kinds["link to a file"] = func(path string) error { return os.Symlink(path+".elsewhere", path) }
	kinds["folder that is a file"] = nil
	for kind, plant := range kinds {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t)
			log := m.path(logPath)
			if plant == nil { // then the modules have no logs either
				write(t, filepath.Dir(log), "", 0o600)
				code, out := m.agent(t, "run", "--userdata", m.userdata)
				if code != 16 || m.ran(t) != 0 || strings.Count(out, "goes on without its log") != 1 {
					t.Errorf("run: exit code %d: %s", code, out)
				}
				if code, out := m.agent(t, "status"); code != 16 {
					t.Errorf("status: exit code %d: %s", code, out)
				}
				return
			}
			if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := plant(log); err != nil {
				t.Fatal(err)
			}
			console := filepath.Join(m.dir, "console")
			write(t, console, "", 0o600)
			code, out := m.agent(t, "run", "--userdata", m.userdata, "--console", console)
			if code != 0 || m.ran(t) != 1 || strings.Count(out, "WARN") != 1 || !strings.Contains(out, logPath) {
				t.Errorf("run: exit code %d: %s", code, out)
			}
			if code, out := m.agent(t, "status"); code != 0 || !strings.Contains(out, "succeeded") {
				t.Errorf("status: exit code %d: %s", code, out)
			}
			if text, err := os.ReadFile(m.path(recordPath)); err != nil || !json.Valid(text) {
				t.Errorf("record: %s, %v", text, err)
			}
			if text, err := os.ReadFile(console); err != nil || !strings.Contains(string(text), "without its log") || !strings.Contains(string(text), "result=succeeded") {
				t.Errorf("console: %s, %v", text, err)
			}
			if code, out := m.agent(t, "logs", "hello"); kind == "folder" && code == 0 {
				t.Errorf("logs: exit code %d: %s", code, out)
			}
			if _, err := os.Stat(log + ".elsewhere"); err == nil {
				t.Error("a file was made behind the link")
			}
			for _, args := range [][]string{{"logs"}, {"logs", "-f"}, {"timeline"}, {"check"}, {"collect", "-o", m.dir + "/r.tar.gz"}} {
				m.agent(t, args...)
			}
		})
	}
}

// An image of a used machine below an overlay, as overlayroot makes it: a folder of the
// lower layer cannot be renamed there, and the new instance starts afresh all the same.
func TestUsedImageBelowAnOverlay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts an overlay, which needs root")
	}
	m := newMachine(t)
	if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 0 {
		t.Fatalf("run: exit code %d: %s", code, out)
	}
	record, err := os.ReadFile(m.path(recordPath))
	if err != nil {
		t.Fatal(err)
	}
	write(t, m.path(recordPath), strings.Replace(string(record), `"instance_id": "local"`, `"instance_id": "i-0aaaaaaaaaaaaaaaa"`, 1), 0o600)
	write(t, m.path("var/lib/startup-agent/bundle.unverified/half"), "", 0o600) // of a fetch that was cut off
	lower, layer := m.root, t.TempDir()
	m.root = t.TempDir()
	if err := unix.Mount("tmpfs", layer, "tmpfs", 0, ""); err != nil {
		t.Skip("no tmpfs here: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(layer, unix.MNT_DETACH) })
	upper, work := filepath.Join(layer, "up"), filepath.Join(layer, "work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("overlay", m.root, "overlay", 0, "redirect_dir=off,lowerdir="+lower+",upperdir="+upper+",workdir="+work); err != nil {
		t.Skip("no overlay here: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(m.root, unix.MNT_DETACH) })
	for n := range 3 { // afresh, again by force, and again after a reset
		if code, out := m.agent(t, "run", "--force", "--userdata", m.userdata); code != 0 || m.ran(t) != n+2 {
			t.Errorf("run %d: exit code %d, ran %d times: %s", n, code, m.ran(t), out)
		}
		if _, err := os.Lstat(m.path("var/lib/startup-agent/bundle.unverified")); err == nil {
			t.Error("the staging folder is left")
		}
		if n == 1 {
			if code, out := m.agent(t, "reset", "--all", "--yes"); code != 0 {
				t.Errorf("reset: exit code %d: %s", code, out)
			}
		}
	}
}

// A result that cannot be written is an error of its own: no usage, no other code.
func TestResultThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here: ", err)
	}
	defer full.Close()
	m := newMachine(t)
	if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 0 {
		t.Fatalf("run: exit code %d: %s", code, out)
	}
	modules := filepath.Join(m.dir, "modules")
	write(t, filepath.Join(modules, "hello/start"), "#!/bin/sh\n", 0o755)
	for _, args := range [][]string{
		{"status"},
		{"status", "--json"},
		{"status", "--wait"},
		{"logs"},
		{"logs", "hello"},
		{"logs", "--json"},
		{"logs", "--list"},
		{"timeline"},
		{"check"},
		{"check", "--json"},
		{"validate", m.userdata},
		{"validate", "--json", m.userdata},
		{"bake-check"},
		{"version"},
		{"--help"},
		{"run", "--help"},
		{"collect", "-o", m.dir + "/r.tar.gz"},
	} {
		t.Run("startup-agent "+strings.Join(args, " "), func(t *testing.T) {
			var stderr strings.Builder
			code := agent.Main(t.Context(), append(slices.Clone(args), "--root="+m.root), full, &stderr)
			if code != 1 || strings.Contains(stderr.String(), "usage:") || !strings.Contains(stderr.String(), "no space left on device") {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
	for i, args := range [][]string{
		{"pack", modules, "-o"},
		{"keygen", "-o"},
		{"keygen", "--signing", "-o"},
		{"pack", "--json", modules, "-o"},
		{"inspect", m.dir + "/b.tar"},
		{"inspect", "--json", m.dir + "/b.tar"},
		{"module", "list", "--modules", modules},
		{"module", "info", modules + "/hello"},
		{"userdata", "--url", "https://h.example/b"},
		{"version"},
		{"--help"},
	} {
		if args[len(args)-1] == "-o" {
			args = append(args, filepath.Join(m.dir, "out"+strconv.Itoa(i)))
		}
		t.Run("startup-packer "+strings.Join(args, " "), func(t *testing.T) {
			var stderr strings.Builder
			code := packer.Main(t.Context(), args, full, &stderr)
			if code != 1 || strings.Contains(stderr.String(), "usage:") || !strings.Contains(stderr.String(), "no space left on device") {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}
