package runner_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"startup-bundle/agent/runner"
)

// TestProbeOutput is no test by itself: a script of the test below runs it.
func TestProbeOutput(t *testing.T) {
	if os.Getenv("PROBE_OUTPUT") == "" {
		t.Skip("run by TestScriptNeitherReadsNorEmptiesItsLog")
	}
	for _, fd := range []int{1, 2} {
		_, err := unix.Pread(fd, make([]byte, 100), 0)
		fmt.Printf("\nread %d: %v\n", fd, err)
		fmt.Printf("\ncut %d: %v\n", fd, unix.Ftruncate(fd, 0))
	}
}

// canRestrict reports whether this kernel can keep a descriptor from truncating.
func canRestrict() bool {
	version, _, failed := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return failed == 0 && version >= 3
}

func TestScriptNeitherReadsNorEmptiesItsLog(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"", "of an earlier run\n"} {
		s := script(t, "echo first; exec "+program+" -test.run TestProbeOutput")
		s.Env = append(s.Env, "PROBE_OUTPUT=yes")
		if before != "" {
			if err := os.WriteFile(s.Log, []byte(before), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := (runner.Runner{}).Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		want := []string{"read 1: bad file descriptor", "read 2: bad file descriptor"}
		if canRestrict() {
			want = append(want, before+"first", "cut 1: permission denied", "cut 2: permission denied")
		}
		got := contents(t, s.Log)
		for _, text := range want {
			if !strings.Contains(got, text+"\n") {
				t.Errorf("the log lacks %q: %q", text, got)
			}
		}
	}
}

// The restriction is the script's alone: the agent goes on truncating its files.
func TestAgentMayStillTruncate(t *testing.T) {
	s := script(t, "echo one")
	for range 20 { // threads that end with their restriction
		if _, err := (runner.Runner{}).Run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(s.Log, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := contents(t, s.Log); got != "" {
		t.Errorf("the log holds %q", got)
	}
}
