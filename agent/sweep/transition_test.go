//go:build linux

package sweep_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Where the kernel does not allow supervision, the agent is killed each time it
// has replaced its record. That is coarser: a kill falls somewhere between two
// records, and no error can be injected.

// transitions sweeps a scenario in that way.
func (f *fixture) transitions(t *testing.T) {
	t.Helper()
	m := f.machine(t)
	_, total := m.killAtRecord(t, 0, f.flags())
	if total == 0 {
		t.Fatal("no change of the record was seen")
	}
	t.Logf("%s, killed: at each of %d records", f.name, total)
	for point := 1; point <= total; point++ {
		t.Run(fmt.Sprintf("killed at record %02d", point), func(t *testing.T) {
			t.Parallel()
			m := f.machine(t)
			found := m.record(t)
			stderr, _ := m.killAtRecord(t, point, f.flags())
			f.recovers(t, m, found, fmt.Sprintf("killed at record %d\n%s", point, stderr))
		})
	}
}

// killAtRecord runs the agent, kills it when it has replaced the record for the
// nth time, and returns how often it did; 0: it is not killed.
func (m *machine) killAtRecord(t *testing.T, n int, flags []string) (stderr string, seen int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), m.program, append([]string{"run", "--root", m.root(), "--userdata", m.userdata}, flags...)...)
	var out bytes.Buffer
	cmd.Stderr = &out
	cmd.Env, cmd.WaitDelay = environment(), time.Second
	last, _ := os.Stat(m.paths().Record())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	for {
		now, err := os.Stat(m.paths().Record())
		if err == nil && (last == nil || !os.SameFile(last, now) || !last.ModTime().Equal(now.ModTime())) {
			last = now
			if seen++; seen == n {
				_ = cmd.Process.Kill()
			}
		}
		select {
		case <-ended:
			return out.String(), seen
		case <-time.After(100 * time.Microsecond):
		}
	}
}
