package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// groupAlive reports whether a process group has a member that still runs.
// Signal 0 also finds zombies, which nobody may ever reap where process 1 is
// no init: /proc tells those apart.
func groupAlive(pgid int) bool {
	if err := unix.Kill(-pgid, 0); errors.Is(err, unix.ESRCH) {
		return false
	}
	stats, err := procStats()
	if err != nil {
		return true
	}
	for _, st := range stats {
		if st.group == pgid && st.running() {
			return true
		}
	}
	return false
}

// procStat is the part of /proc/PID/stat (proc_pid_stat(5)) used here.
type procStat struct {
	pid, group, session int
	state               byte
}

func (p procStat) running() bool { return p.state != 'Z' && p.state != 'X' }

// procStats lists the processes of this pid namespace; those that end
// meanwhile are left out.
func procStats() ([]procStat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var stats []procStat
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(procFile(pid, "stat"))
		if err != nil {
			continue
		}
		if st, ok := parseStat(pid, text); ok {
			stats = append(stats, st)
		}
	}
	return stats, nil
}

// parseStat reads "PID (NAME) STATE PPID GROUP SESSION …". The name may hold
// spaces and parentheses, so the fields are counted from the last one.
func parseStat(pid int, text []byte) (procStat, bool) {
	_, rest, ok := cutLast(text, ')')
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 4 {
		return procStat{}, false
	}
	group, err1 := strconv.Atoi(string(fields[2]))
	session, err2 := strconv.Atoi(string(fields[3]))
	if err1 != nil || err2 != nil {
		return procStat{}, false
	}
	return procStat{pid: pid, state: fields[0][0], group: group, session: session}, true
}

func cutLast(text []byte, sep byte) (before, after []byte, found bool) {
	i := bytes.LastIndexByte(text, sep)
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+1:], true
}
