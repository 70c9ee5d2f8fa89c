package runner_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"startup-bundle/agent/runner"
)

func TestPlantedLogIsRefusedAndNothingRuns(t *testing.T) {
	tests := map[string]func(log, other string) error{
		"a symbolic link":           func(log, other string) error { return os.Symlink(other, log) },
		"a link to nothing":         func(log, other string) error { return os.Symlink(other+".no", log) },
		"a second name of a file":   func(log, other string) error { return os.Link(other, log) },
		"a FIFO":                    func(log, _ string) error { return unix.Mkfifo(log, 0o600) },
		"a device":                  func(log, _ string) error { return unix.Mknod(log, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 7))) },
		"a folder":                  func(log, _ string) error { return os.Mkdir(log, 0o700) },
		"a socket, which has no fd": func(log, _ string) error { return unix.Mknod(log, unix.S_IFSOCK|0o600, 0) },
	}
	for name, plant := range tests {
		t.Run(name, func(t *testing.T) {
			s := script(t, "echo ran; touch ran")
			other := filepath.Join(s.Dir, "other")
			if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			switch err := plant(s.Log, other); {
			case errors.Is(err, unix.EPERM) && name == "a device" && os.Geteuid() != 0:
				t.Skip("only root can make a device")
			case err != nil:
				t.Fatal(err)
			}
			_, err := runner.Runner{}.Run(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), s.Log) {
				t.Errorf("error %v", err)
			}
			if name != "a folder" && !errors.Is(err, runner.ErrUnsafeLog) {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(filepath.Join(s.Dir, "ran")); err == nil {
				t.Error("the script ran")
			}
			if _, err := os.Stat(other + ".no"); err == nil {
				t.Error("a file was made behind the link")
			}
			if got := contents(t, other); got != "precious" {
				t.Errorf("the other file holds %q", got)
			}
		})
	}
}

// small returns a folder on a filesystem of 1 MiB.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskIsToldToScriptAndCaller(t *testing.T) {
	s := script(t, "head -c 2000000 /dev/zero || exit 5")
	s.Log = filepath.Join(small(t), "module.log")
	got, _ := run(t, s)
	if got.Outcome != runner.Exited || got.ExitCode != 5 || !got.LogFull || !strings.Contains(got.Reason, "free some space") {
		t.Errorf("%+v", got)
	}
	if got.OutputBytes == 0 || got.OutputBytes > 1<<20 {
		t.Errorf("%d bytes of output", got.OutputBytes)
	}
	if got, _ := run(t, script(t, "")); got.LogFull {
		t.Error("a disk with room counts as full")
	}
}

func TestTail(t *testing.T) {
	numbered := func(from, to int) (lines []string) {
		for i := from; i <= to; i++ {
			lines = append(lines, fmt.Sprintf("line %d", i))
		}
		return lines
	}
	long := strings.Repeat("é", 1000)
	tests := []struct {
		name, text string
		want       []string
	}{
		{"an empty file", "", nil},
		{"fewer lines than asked for", "a\nb\n", []string{"a", "b"}},
		{"no newline at the end", "a\nb", []string{"a", "b"}},
		{"empty lines are left out", "\n\na\n \n\x1b[0m\nb\n\n\n", []string{"a", "b"}},
		{"only the last", strings.Join(numbered(1, 50), "\n"), numbered(46, 50)},
		{"far more than is read", strings.Join(numbered(1, 50_000), "\n"), numbered(49_996, 50_000)},
		{"a long line among others", "a\n" + long + "\nb\n", []string{"a", strings.Repeat("é", 512) + "…", "b"}},
		{"one line without end", strings.Repeat("é", 500_000) + "end", []string{"…" + strings.Repeat("é", 510) + "end"}},
		{"a line without end before others", strings.Repeat("x", 500_000) + "\nb\n", []string{"b"}},
		{"noise", "\xff\xfe\n\x00", []string{"\uFFFD", "\uFFFD"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := runner.Tail(path, 5)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%.2000q, %v; want %q", got, err, test.want)
			}
		})
	}
	if _, err := runner.Tail(filepath.Join(t.TempDir(), "no"), 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing log: %v", err)
	}
}
