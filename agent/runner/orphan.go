package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A script is not written to run twice at once, and a killed agent leaves one
// that goes on. What is left of it is stopped before it runs again. It is known
// in two ways, neither of which a crash can lose:
//
//   - While the script itself goes on, by three things that only it has together:
//     it leads a session, its command line is this script's, and it writes to
//     this log. So a daemon that a finished run left behind is not taken for one.
//   - When it has ended and its children go on, by their environment, or by the
//     session that they share with a process of that environment. Only the caller
//     knows that nobody saw that run to its end: see StopMarked.

// stopOrphans stops earlier runs of the script whose agent was killed and which
// still go on. It returns how many there were.
func stopOrphans(s Script, log *os.File, grace time.Duration) int {
	stats, err := procStats()
	if err != nil {
		return 0
	}
	info, err := log.Stat()
	if err != nil {
		return 0
	}
	found := 0
	for _, st := range stats {
		if st.session == st.pid && st.running() && hasOpen(st.pid, info, "1", "2") && runs(st.pid, s) {
			processGroup(st.pid, notOurs()).stop(grace)
			found++
		}
	}
	return found
}

// notOurs stands for the end of a process that is not our child: process 1 reaps it.
func notOurs() <-chan struct{} {
	reaped := make(chan struct{})
	close(reaped)
	return reaped
}

// runs reports whether a process has the script's command line. For a #! file
// the kernel puts the interpreter, and its one argument, before it.
func runs(pid int, s Script) bool {
	args := bytes.Split(bytes.TrimSuffix(commandLine(pid), []byte{0}), []byte{0})
	want := append([]string{s.Path}, s.Args...)
	skip := len(args) - len(want)
	return skip >= 0 && skip <= 2 && slices.EqualFunc(args[skip:], want, func(a []byte, b string) bool { return string(a) == b })
}

const (
	execWait = time.Second
	execPoll = 5 * time.Millisecond
)

// commandLine returns the arguments of a process, each with a 0 after it. In the
// middle of execve it has none for a moment, which is waited for.
func commandLine(pid int) []byte {
	for waited := time.Duration(0); ; waited += execPoll {
		text, err := os.ReadFile(procFile(pid, "cmdline"))
		if err != nil || len(text) > 0 || waited >= execWait {
			return text
		}
		<-time.After(execPoll)
	}
}

// StopMarked stops the processes that have all the marks, each NAME=value, in
// their environment, and those that share a session with one of them. It is for
// what a run left that was cut off: also the children of a script that has ended.
// A process that made its own session and changed its environment is not found.
// It returns how many there were.
func StopMarked(grace time.Duration, marks ...string) int {
	found := len(marked(marks))
	if found == 0 {
		return 0
	}
	sent := unix.SIGTERM
	send := func(sig unix.Signal, to []procStat) {
		for _, st := range to {
			st.signal(sig)
		}
	}
	group{
		leaderDone: notOurs(),
		signal:     func(sig unix.Signal) { sent = sig; send(sig, marked(marks)) },
		alive: func() bool {
			left := marked(marks)
			if sent == unix.SIGKILL { // again: they may have forked meanwhile
				send(sent, left)
			}
			return len(left) > 0
		},
	}.stop(min(grace, InterruptGrace))
	return found
}

// marked lists the processes that StopMarked means. This process and its session
// are never among them.
func marked(marks []string) (found []procStat) {
	stats, err := procStats()
	if err != nil {
		return nil
	}
	own, _ := unix.Getsid(0)
	sessions := map[int]bool{}
	for _, st := range stats {
		if st.session > 0 && st.running() && hasEnvironment(st.pid, marks) {
			sessions[st.session] = true
		}
	}
	delete(sessions, own)
	for _, st := range stats {
		if st.running() && sessions[st.session] {
			found = append(found, st)
		}
	}
	return found
}

func hasEnvironment(pid int, want []string) bool {
	text, err := os.ReadFile(procFile(pid, "environ"))
	if err != nil || len(text) == 0 {
		return false
	}
	has := map[string]bool{}
	for entry := range bytes.SplitSeq(text, []byte{0}) {
		has[string(entry)] = true
	}
	return !slices.ContainsFunc(want, func(entry string) bool { return !has[entry] })
}

// KillForked kills the children of a dead agent that have not come to their
// execve, and so still have its lock file open: they are this program too, and
// have one thread, which no agent has. It returns how many there were.
func KillForked(lock *os.File) int {
	info, err := lock.Stat()
	if err != nil {
		return 0
	}
	stats, err := procStats()
	if err != nil {
		return 0
	}
	found, own := 0, program("self")
	for _, st := range stats {
		if st.threads == 1 && st.running() && program(strconv.Itoa(st.pid)) == own && hasOpen(st.pid, info) {
			st.signal(unix.SIGKILL)
			found++
		}
	}
	return found
}

// program returns the path of what a process runs, also when an upgrade has
// replaced the file since.
func program(pid string) string {
	path, _ := os.Readlink(filepath.Join("/proc", pid, "exe"))
	return strings.TrimSuffix(path, " (deleted)")
}
