package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whoever may not read the logs is told how to, and of no file that is not there.
func TestUnprivileged(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	found, err := exec.LookPath("startup-agent")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(found)
	if err != nil {
		t.Fatal(err)
	}
	program, shut, archive := filepath.Join(dir, "startup-agent"), filepath.Join(dir, "var"), filepath.Join(dir, "out")
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for folder, mode := range map[string]os.FileMode{shut: 0o000, archive: 0o777} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(shut, 0o700) })
	for command, want := range map[string]string{
		"logs":       "as root: sudo startup-agent logs --root " + dir,
		"logs m":     "as root: sudo startup-agent logs m --root " + dir,
		"timeline":   "as root: sudo startup-agent timeline --root " + dir,
		"check":      "as root: sudo startup-agent check --root " + dir,
		"collect -o": "agent.jsonl; as root: sudo startup-agent collect",
	} {
		t.Run(command, func(t *testing.T) {
			args := strings.Fields(command)
			if command == "collect -o" {
				args = append(args, filepath.Join(archive, "r.tar.gz"))
			}
			c := exec.Command(program, append(args, "--root", dir)...)
			if os.Geteuid() == 0 {
				c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			var stderr bytes.Buffer
			c.Stderr = &stderr
			_ = c.Run() // with a code of its own
			if got := stderr.String(); !strings.Contains(got, want) || strings.Contains(got, "jsonl.1") {
				t.Errorf("%s", got)
			}
		})
	}
}
