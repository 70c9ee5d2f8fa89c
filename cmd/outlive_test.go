package cmd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"startup-bundle/agent/record"
)

// boot is a userdata script in a scratch folder, and the agent that runs it.
type boot struct {
	*testing.T
	dir    string
	up, on *os.File // FIFOs: the script is up; it may go on
}

// newBoot makes a script that tells that it is up, waits, does the rest, and
// leaves a line in the file ran.
func newBoot(t *testing.T, rest string) *boot {
	t.Helper()
	b := &boot{T: t, dir: t.TempDir()}
	b.up, b.on = b.fifo("up"), b.fifo("on")
	script := "#!/bin/bash\ncd '" + b.dir + "'\necho up >up\nread -r x <on\n" + rest + "\necho ran >>ran\n"
	if err := os.WriteFile(b.path("userdata"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *boot) path(name string) string { return filepath.Join(b.dir, name) }

func (b *boot) fifo(name string) *os.File {
	b.Helper()
	if err := unix.Mkfifo(b.path(name), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(b.path(name), os.O_RDWR, 0)
	if err == nil {
		err = f.SetReadDeadline(time.Now().Add(time.Minute))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return f
}

// start starts the agent, by way of a shell command that ends with "$@" or of
// nothing, and waits until the script is up.
func (b *boot) start(by string, stderr *os.File) *exec.Cmd {
	b.Helper()
	if by == "" {
		by = `exec "$@"`
	}
	c := exec.Command("bash", "-c", by, "bash", "startup-agent", "run", "--root", b.path("root"), "--userdata", b.path("userdata"))
	if stderr != nil {
		c.Stderr = stderr
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := b.up.Read(make([]byte, 8)); err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *boot) goOn() {
	b.Helper()
	if _, err := b.on.WriteString("on\n"); err != nil {
		b.Fatal(err)
	}
}

// ended requires that the agent ends with that code, and that the record, the
// log and the script agree with it.
func (b *boot) ended(c *exec.Cmd, code int, state record.State, ran string) {
	b.Helper()
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != code {
		b.Errorf("exit code %d (%v), want %d", got, c.ProcessState, code)
	}
	r, err := record.Load(b.path("root/var/lib/startup-agent/record.json"))
	if err != nil {
		b.Fatal(err)
	}
	if r.State != state || r.ExitCode != code {
		b.Errorf("recorded %s, exit code %d; want %s, %d", r.State, r.ExitCode, state, code)
	}
	if text, err := os.ReadFile(b.path("ran")); string(text) != ran || err != nil && !errors.Is(err, os.ErrNotExist) {
		b.Errorf("ran %q, %v; want %q", text, err, ran)
	}
	log, err := os.ReadFile(b.path("root/var/log/startup-agent/agent.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(log) {
		if !json.Valid(line) {
			b.Errorf("the log has %q", line)
		}
	}
	if last := `"exit_code":` + strconv.Itoa(code); !bytes.Contains(log, []byte(last)) {
		b.Errorf("the log does not end with %s", last)
	}
}

func TestSignalsThatEndNoRun(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{
		unix.SIGHUP, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGWINCH, unix.SIGIO, unix.SIGPWR, unix.SIGCONT,
	} {
		for name, by := range map[string]string{"": "", " under nohup": `exec nohup "$@"`} {
			t.Run(unix.SignalName(sig)+name, func(t *testing.T) {
				t.Parallel()
				b := newBoot(t, "")
				c := b.start(by, nil)
				for range 3 {
					if err := c.Process.Signal(sig); err != nil {
						t.Fatal(err)
					}
				}
				b.goOn()
				b.ended(c, 0, record.Succeeded, "ran\n")
			})
		}
	}
}

func TestSignalsThatInterruptARun(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			b := newBoot(t, "")
			c := b.start("", nil)
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			b.ended(c, 130, record.Interrupted, "")
			again := b.start("", nil)
			b.goOn() // to the second alone: the first script is gone
			b.ended(again, 0, record.Succeeded, "ran\n")
		})
	}
}

// What the agent prints goes nowhere, or nobody takes it.
func TestRunThatNobodyReads(t *testing.T) {
	t.Parallel()
	const flood = "seq 40000" // more than a pipe, and than the agent's own queue, can take
	pipe := func(t *testing.T, read func(r *os.File)) *os.File {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = r.Close(), w.Close() })
		read(r)
		return w
	}
	t.Run("the reader goes away", func(t *testing.T) {
		t.Parallel()
		b := newBoot(t, flood)
		var reader *os.File
		c := b.start("", pipe(t, func(r *os.File) { reader = r }))
		_ = reader.Close()
		b.goOn()
		b.ended(c, 0, record.Succeeded, "ran\n")
	})
	t.Run("the reader never was", func(t *testing.T) {
		t.Parallel()
		b := newBoot(t, flood)
		c := b.start("", pipe(t, func(r *os.File) { _ = r.Close() }))
		b.goOn()
		b.ended(c, 0, record.Succeeded, "ran\n")
	})
	t.Run("the reader does not read", func(t *testing.T) {
		t.Parallel()
		b := newBoot(t, flood)
		c := b.start("", pipe(t, func(*os.File) {}))
		b.goOn()
		b.ended(c, 0, record.Succeeded, "ran\n")
	})
	t.Run("the disk is full", func(t *testing.T) {
		t.Parallel()
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		b := newBoot(t, flood)
		c := b.start("", full)
		b.goOn()
		b.ended(c, 0, record.Succeeded, "ran\n")
	})
	for _, shut := range []string{"<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"} {
		t.Run("started with "+shut, func(t *testing.T) { // no file of the agent's may take the place
			t.Parallel()
			b := newBoot(t, "echo out; echo err >&2")
			c := b.start(`exec "$@" `+shut, nil)
			b.goOn()
			b.ended(c, 0, record.Succeeded, "ran\n")
		})
	}
}

func TestScriptsGetSignalsAsUsual(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]string{
		"plain": "", "under nohup": `exec nohup "$@"`, "as under systemd": `trap "" PIPE; exec "$@"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBoot(t, "sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status >ignored\nyes | head -n 1 >/dev/null; echo ${PIPESTATUS[0]} >status")
			c := b.start(by, nil)
			b.goOn()
			b.ended(c, 0, record.Succeeded, "ran\n")
			text, err := os.ReadFile(b.path("ignored"))
			if err != nil {
				t.Fatal(err)
			}
			mask, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 64)
			if err != nil || mask&(1<<(unix.SIGHUP-1)|1<<(unix.SIGPIPE-1)) != 0 {
				t.Errorf("ignored signals %q, %v", text, err)
			}
			if status, _ := os.ReadFile(b.path("status")); string(status) != "141\n" {
				t.Errorf("a broken pipe ends a program with %q, want 141", status)
			}
		})
	}
}

// The agent of a rehearsal outlives a hangup, so the packer must end it.
func TestHangupEndsARehearsal(t *testing.T) {
	t.Parallel()
	b := newBoot(t, "")
	if err := os.MkdirAll(b.path("modules/one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.path("userdata"), b.path("modules/one/start")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.path("modules/one/start"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("startup-packer", "rehearse", "--here", b.path("modules")) // its pipes are of this machine
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.up.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != 130 {
		t.Errorf("exit code %d (%v), want 130", got, c.ProcessState)
	}
	b.goOn() // to nobody
	if _, err := os.Stat(b.path("ran")); err == nil {
		t.Error("the module went on")
	}
}
