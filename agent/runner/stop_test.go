package runner_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"startup-bundle/agent/runner"
)

// fifo makes a FIFO in the script's folder, where it is called name.
func fifo(t *testing.T, s runner.Script, name string) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// whenReady runs act when the script has printed "ready".
func whenReady(act func()) runner.Runner {
	return runner.Runner{Line: func(line string) {
		if line == "ready" {
			act()
		}
	}}
}

// holders returns a channel that is closed when no process has the FIFO open
// for writing any more, after one had.
func holders(t *testing.T, path string) <-chan struct{} {
	t.Helper()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = os.ReadFile(path)
	}()
	return gone
}

func TestTimeoutStopsTheWholeGroup(t *testing.T) {
	s := script(t, "sleep 60 & exec sleep 60")
	s.Timeout = 20 * time.Millisecond
	got, _ := run(t, s)
	if got.Outcome != runner.TimedOut || got.Signal != "SIGTERM" || got.ExitCode != -1 || got.Leftovers {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.Reason, "20ms") {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestInterruptStopsTheWholeGroup(t *testing.T) {
	tests := []struct {
		name, body string
		signal     string
		exit       int
	}{
		{"which dies of SIGTERM", "sleep 60 & echo ready; wait", "SIGTERM", -1},
		{"which cleans up and exits", "trap 'echo cleaned; exit 9' TERM; sleep 60 & echo ready; wait", "", 9},
		{"which exits as if all were well", "trap 'exit 0' TERM; sleep 60 & echo ready; wait", "", 0},
		{"whose leader ignores SIGTERM", "trap '' TERM; echo ready; while :; do sleep 60; done", "SIGKILL", -1},
		{"whose child alone ignores SIGTERM", "(trap '' TERM; echo ready; while :; do sleep 60; done) & wait", "SIGTERM", -1},
		{"which is stopped", "echo ready; kill -s STOP $$", "SIGTERM", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := script(t, "exec 3>held; "+test.body)
			s.Grace = 300 * time.Millisecond
			gone := holders(t, fifo(t, s, "held"))
			ctx, cancel := context.WithCancel(t.Context())
			got, err := whenReady(cancel).Run(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != runner.Interrupted || got.Signal != test.signal || got.ExitCode != test.exit || got.Leftovers {
				t.Errorf("%+v", got)
			}
			if want := strings.Contains(test.body, "cleaned"); slices.Contains(got.Tail, "cleaned") != want {
				t.Errorf("tail %q: what is printed on SIGTERM is lost", got.Tail)
			}
			<-gone // or a process of the group lives on
		})
	}
}

func TestInterruptBeforeTheStartRunsNothing(t *testing.T) {
	s := script(t, "touch ran")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := runner.Runner{}.Run(ctx, s)
	if err != nil || got.Outcome != runner.Interrupted || got.ExitCode != -1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "ran")); err == nil {
		t.Error("the script ran")
	}
}

func TestDaemonNeitherBlocksTheRunNorDies(t *testing.T) {
	tests := []struct {
		name, start string
		leftovers   bool
	}{
		{"in the group", "sh daemon & read x <ready; echo started", true},
		{"in its own session", "setsid -f sh daemon; read x <ready; echo started", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := script(t, test.start)
			daemon := "echo >ready; echo up >up; read x <go; echo late; echo $x >up"
			if err := os.WriteFile(filepath.Join(s.Dir, "daemon"), []byte(daemon), 0o600); err != nil {
				t.Fatal(err)
			}
			goOn, up := fifo(t, s, "go"), fifo(t, s, "up")
			fifo(t, s, "ready") // the daemon is where it belongs before the script ends
			lived := make(chan string)
			started := make(chan struct{})
			go func() {
				defer close(lived)
				file, err := os.OpenFile(up, os.O_RDWR, 0) // never at its end
				if err != nil {
					return
				}
				defer func() { _ = file.Close() }()
				buf := make([]byte, 16)
				n, _ := file.Read(buf)
				if string(buf[:n]) == "up\n" {
					close(started)
				}
				n, _ = file.Read(buf)
				lived <- string(buf[:n])
			}()

			got, lines := run(t, s)
			if got.Outcome != runner.Exited || got.ExitCode != 0 || got.Leftovers != test.leftovers {
				t.Errorf("%+v", got)
			}
			if !slices.Equal(lines, []string{"started"}) {
				t.Errorf("lines %q", lines)
			}
			<-started
			if err := os.WriteFile(goOn, []byte("on\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := <-lived; got != "on\n" {
				t.Errorf("the daemon said %q", got)
			}
			if log := contents(t, s.Log); log != "started\nlate\n" {
				t.Errorf("log %q", log)
			}
		})
	}
}

func TestSlowReaderDoesNotSlowTheScript(t *testing.T) {
	s := script(t, "echo first; head -c 20000000 /dev/zero; echo all >written")
	written := fifo(t, s, "written")
	blocked := false
	got, err := runner.Runner{Line: func(string) {
		if !blocked {
			blocked = true
			file, err := os.Open(written) // the script opens it at its end
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, file)
			_ = file.Close()
		}
	}}.Run(t.Context(), s)
	if err != nil || got.ExitCode != 0 || got.OutputBytes != 20000000+6 {
		t.Errorf("%+v, %v", got, err)
	}
}
