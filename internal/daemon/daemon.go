// Package daemon starts other people's servers on loopback for tests.
package daemon

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	pollEvery    = 20 * time.Millisecond
)

// Find returns the program called name, from .tools/bin of the module or from PATH.
// It skips the test, saying how to get it, where there is none.
func Find(t testing.TB, name, install string) string {
	t.Helper()
	for dir, _ := os.Getwd(); ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".tools", "bin", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: %s", name, install)
	}
	return path
}

// Address returns a free address on loopback.
func Address(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Start runs path with args until the test ends, and waits until address answers.
// What it prints is shown when the test fails.
func Start(t testing.TB, address, path string, args ...string) {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(output.Name()); t.Failed() {
			t.Logf("%s printed:\n%s", path, text)
		}
		_ = output.Close()
	})
	for began := time.Now(); time.Since(began) < startTimeout; time.Sleep(pollEvery) {
		conn, err := net.DialTimeout("tcp", address, time.Second) //nolint:noctx // loopback
		if err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatalf("%s does not listen on %s after %s", path, address, startTimeout)
}
