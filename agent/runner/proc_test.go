package runner

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestGroupAliveSeesNoZombies(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "read x")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if !groupAlive(pid) {
		t.Error("a running process is not seen")
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(-pid, 0); err != nil {
		t.Fatalf("no zombie to try with: %v", err)
	}
	if groupAlive(pid) {
		t.Error("a zombie counts as alive")
	}
	_ = cmd.Wait()
	if groupAlive(pid) {
		t.Error("an empty group counts as alive")
	}
}

func TestParseStat(t *testing.T) {
	const rest = " 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 98765 8192 100"
	tests := []struct {
		name, text string
		want       procStat
		ok         bool
	}{
		{"plain", "7 (sleep) S 1 5 4" + rest, procStat{pid: 7, group: 5, session: 4, threads: 3, started: "98765", state: 'S'}, true},
		{"a name with spaces and parentheses", "7 (a) Z 9 9 9 (b)) R 1 5 4" + rest, procStat{pid: 7, group: 5, session: 4, threads: 3, started: "98765", state: 'R'}, true},
		{"no name", "7 S 1 5 4" + rest, procStat{}, false},
		{"cut off", "7 (sleep) S 1 5 4 0 -1", procStat{}, false},
		{"no numbers", "7 (sleep) S 1 x 4" + rest, procStat{}, false},
		{"empty", "", procStat{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseStat(7, []byte(test.text))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(procStat{})); diff != "" || ok != test.ok {
				t.Error(ok, diff)
			}
		})
	}
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	got, ok := parseStat(os.Getpid(), text)
	session, _ := unix.Getsid(0)
	if !ok || got.group != unix.Getpgrp() || got.session != session || !strings.ContainsRune("RS", rune(got.state)) {
		t.Errorf("%+v, %v", got, ok)
	}
}
