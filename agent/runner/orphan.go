package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// stopOrphans stops earlier runs of the script whose agent was killed and which
// still go on: a script is not written to run twice at once. It returns how
// many there were.
//
// Such a run is known by three things that only it has together: it leads a
// session, its command line is this script's, and it writes to this log. So a
// daemon that a finished run left behind is not taken for one, and nothing has
// to be remembered that a crash could lose.
func stopOrphans(s Script, log *os.File, grace time.Duration) int {
	stats, err := procStats()
	if err != nil {
		return 0
	}
	info, err := log.Stat()
	if err != nil {
		return 0
	}
	reaped := make(chan struct{}) // not our child: process 1 reaps it
	close(reaped)
	found := 0
	for _, st := range stats {
		if st.session == st.pid && st.running() && runs(st.pid, s) && writes(st.pid, info) {
			processGroup(st.pid, reaped).stop(grace)
			found++
		}
	}
	return found
}

// runs reports whether a process has the script's command line. For a #! file
// the kernel puts the interpreter, and its one argument, before it.
func runs(pid int, s Script) bool {
	text, err := os.ReadFile(procFile(pid, "cmdline"))
	if err != nil {
		return false
	}
	args := bytes.Split(bytes.TrimSuffix(text, []byte{0}), []byte{0})
	want := append([]string{s.Path}, s.Args...)
	skip := len(args) - len(want)
	return skip >= 0 && skip <= 2 && slices.EqualFunc(args[skip:], want, func(a []byte, b string) bool { return string(a) == b })
}

// writes reports whether stdout or stderr of a process is the file.
func writes(pid int, file os.FileInfo) bool {
	for _, fd := range []string{"1", "2"} {
		if info, err := os.Stat(procFile(pid, "fd", fd)); err == nil && os.SameFile(info, file) {
			return true
		}
	}
	return false
}

func procFile(pid int, names ...string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), filepath.Join(names...))
}
