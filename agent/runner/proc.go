package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

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
	pid, group, session, threads int
	started                      string // since boot, in clock ticks: with the pid it names one process
	state                        byte
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
		if st, ok := readStat(pid); ok {
			stats = append(stats, st)
		}
	}
	return stats, nil
}

func readStat(pid int) (procStat, bool) {
	text, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return procStat{}, false
	}
	return parseStat(pid, text)
}

// The fields of /proc/PID/stat after the name, from 0.
const (
	statState   = 0
	statGroup   = 2
	statSession = 3
	statThreads = 17
	statStarted = 19
)

// parseStat reads "PID (NAME) STATE PPID GROUP SESSION …". The name may hold
// spaces and parentheses, so the fields are counted from the last one.
func parseStat(pid int, text []byte) (procStat, bool) {
	_, rest, ok := cutLast(text, ')')
	fields := bytes.Fields(rest)
	if !ok || len(fields) <= statStarted {
		return procStat{}, false
	}
	st := procStat{pid: pid, state: fields[statState][0], started: string(fields[statStarted])}
	for field, to := range map[int]*int{statGroup: &st.group, statSession: &st.session, statThreads: &st.threads} {
		n, err := strconv.Atoi(string(fields[field]))
		if err != nil {
			return procStat{}, false
		}
		*to = n
	}
	return st, true
}

// signal sends a signal to the process, unless its pid is another's by now.
func (p procStat) signal(sig syscall.Signal) {
	handle, err := os.FindProcess(p.pid) // a pidfd: from here on it is one process
	if err != nil {
		return
	}
	defer func() { _ = handle.Release() }()
	if now, ok := readStat(p.pid); ok && now.started == p.started {
		_ = handle.Signal(sig) // an error means that it has ended
	}
}

// hasOpen reports whether one of these descriptors of a process is the file;
// without any, whether one of all is.
func hasOpen(pid int, file os.FileInfo, fds ...string) bool {
	if len(fds) == 0 {
		entries, err := os.ReadDir(procFile(pid, "fd"))
		if err != nil {
			return false
		}
		for _, e := range entries {
			fds = append(fds, e.Name())
		}
	}
	return slices.ContainsFunc(fds, func(fd string) bool {
		info, err := os.Stat(procFile(pid, "fd", fd))
		return err == nil && os.SameFile(info, file)
	})
}

func procFile(pid int, names ...string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), filepath.Join(names...))
}

func cutLast(text []byte, sep byte) (before, after []byte, found bool) {
	i := bytes.LastIndexByte(text, sep)
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+1:], true
}
