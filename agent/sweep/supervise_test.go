//go:build linux

package sweep_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The supervision is the kernel's own, seccomp_unotify(2): a filter stops each
// system call that changes the disk until this process has said what becomes of
// it. It counts the calls of the whole agent, whatever thread they come from
// (strace's when=N counts each thread by itself, so that it reaches no chosen
// call of a Go program), and needs no privilege and no ptrace.

// call is one system call of the agent below its root folder.
type call struct {
	name string // of the system call
	path string // relative to the root
}

func (c call) String() string { return c.name + " " + c.path }

// verdict is what becomes of a call.
type verdict struct {
	kill  bool          // the agent is killed instead
	errno syscall.Errno // the call fails with it instead
}

// errUnsupervised means that this kernel, or this container, does not allow it.
var errUnsupervised = errors.New("the kernel does not allow seccomp user notification here")

// supervisedEnv makes this program set the filter and become its arguments.
const supervisedEnv = "SWEEP_SUPERVISED"

// handOver is the socket by which the filter's descriptor comes back.
const handOver = 3

// execve is supervised for the sake of the agent's children: see supervisor.forked.
const execve = "execve"

// supervised are the calls that change the disk, but for openat, which does so
// with O_CREAT. Go makes no others, such as rename or mkdir without "at".
func supervised() map[uint32]string {
	return map[uint32]string{
		unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_WRITEV: "writev", unix.SYS_FTRUNCATE: "ftruncate",
		unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_SYNCFS: "syncfs",
		unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat",
		unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_UNLINKAT: "unlinkat",
		unix.SYS_MKDIRAT: "mkdirat", unix.SYS_LINKAT: "linkat", unix.SYS_SYMLINKAT: "symlinkat",
		unix.SYS_OPENAT: "openat",
		unix.SYS_EXECVE: execve,
	}
}

// become sets the filter and turns into the program that the arguments name.
func become(args []string) error {
	runtime.LockOSThread() // the filter is this thread's; exec makes it the process's
	fd, err := setFilter()
	if err != nil {
		return errors.Join(err, unix.Sendmsg(handOver, []byte(err.Error()), nil, nil, 0))
	}
	if err := unix.Sendmsg(handOver, []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(handOver)
	return unix.Exec(args[0], args, os.Environ())
}

func setFilter() (int, error) {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return 0, fmt.Errorf("no filter for %s", runtime.GOARCH)
	}
	// struct seccomp_data: nr at 0, arch at 4, the arguments' low halves from 16 on.
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	equal := func(k uint32, otherwise uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: otherwise, K: k}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	program := []unix.SockFilter{load(4), equal(arch, 1), load(0)} // another arch leaves arch in place, equal to no number
	for nr := range supervised() {
		if nr != unix.SYS_OPENAT {
			program = append(program, equal(nr, 1), ret(unix.SECCOMP_RET_USER_NOTIF))
		}
	}
	program = append(program,
		equal(unix.SYS_OPENAT, 3), load(16+2*8),
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: unix.O_CREAT}, ret(unix.SECCOMP_RET_USER_NOTIF),
		ret(unix.SECCOMP_RET_ALLOW))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// Killable: without it Go's own preemption signals would cut calls short and repeat them.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// supervise runs cmd to its end. decide is asked about each call of the process
// itself, not of its children, below root; n counts them from 1. What the process
// leaves behind is served until the end of the test.
func supervise(t *testing.T, cmd *exec.Cmd, root string, decide func(n int, c call) verdict) error {
	return (&supervisor{root: root, decide: decide}).run(t, cmd)
}

func (s *supervisor) run(t *testing.T, cmd *exec.Cmd) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	cmd.Args = append([]string{cmd.Args[0], cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/proc/self/exe"
	cmd.Env = append(cmd.Env, supervisedEnv+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	listener, err := receive(pair[0])
	if err != nil {
		_ = cmd.Wait()
		return err
	}
	s.listener, s.pid = listener, cmd.Process.Pid
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	t.Cleanup(func() {
		if err := <-served; err != nil {
			t.Errorf("the supervision ended early: %v", err)
		}
	})
	_ = cmd.Wait()    // what it says is in cmd.ProcessState
	s.deciding.Lock() // the last decision is made; what follows comes from others
	defer s.deciding.Unlock()
	return nil
}

func receive(socket int) (int, error) {
	text, rights := make([]byte, 256), make([]byte, unix.CmsgSpace(4))
	n, rn, _, _, err := unix.Recvmsg(socket, text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:rn])
	if err != nil || len(messages) == 0 {
		return 0, fmt.Errorf("%w: %s", errUnsupervised, text[:n])
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// supervisor answers for one process, and lets its children pass. With forked, each
// process that comes to an execve is held there until release is closed, if
// forked says so.
type supervisor struct {
	listener int
	pid      int
	root     string
	decide   func(int, call) verdict
	deciding sync.Mutex
	n        int
	forked   func(pid int) bool
	release  chan struct{}
}

// notification and answer are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id    uint64
	tid   uint32
	flags uint32
	nr    uint32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// serve answers until every process under the filter has ended.
func (s *supervisor) serve() error {
	defer unix.Close(s.listener)
	for {
		poll := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return fmt.Errorf("poll: %w", err)
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return nil
		}
		var n notification
		switch err := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT): // it ended meanwhile
			continue
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if s.forked != nil && supervised()[n.nr] == execve && int(n.tid) != s.pid && s.forked(int(n.tid)) {
			go func() {
				<-s.release
				_ = s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // an error: it is gone
			}()
			continue
		}
		switch v := s.judge(n); {
		case v.kill:
			if err := unix.Kill(s.pid, unix.SIGKILL); err != nil {
				return err
			}
			continue
		case v.errno != 0:
			a.flags, a.errno = 0, -int32(v.errno)
		}
		if err := s.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

func (s *supervisor) ioctl(request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

func (s *supervisor) judge(n notification) verdict {
	if _, err := os.Stat(s.proc("task", strconv.Itoa(int(n.tid)))); err != nil {
		return verdict{} // a child
	}
	path, ok := s.path(n)
	if !ok {
		return verdict{}
	}
	s.deciding.Lock()
	defer s.deciding.Unlock()
	s.n++
	return s.decide(s.n, call{supervised()[n.nr], path})
}

// path returns what a call is about, relative to the root; false: not below it.
func (s *supervisor) path(n notification) (string, bool) {
	var path string
	switch name := supervised()[n.nr]; {
	case name == "symlinkat":
		path = s.at(n.args[1], n.args[2])
	case strings.HasSuffix(name, "at"), strings.HasSuffix(name, "at2"):
		path = s.at(n.args[0], n.args[1])
	default:
		path, _ = os.Readlink(s.proc("fd", strconv.Itoa(int(n.args[0]))))
	}
	rel, err := filepath.Rel(s.root, path)
	return rel, err == nil && filepath.IsLocal(rel)
}

func (s *supervisor) at(folder, name uint64) string {
	text := make([]byte, unix.PathMax)
	memory, err := os.Open(s.proc("mem"))
	if err != nil {
		return ""
	}
	defer memory.Close()
	n, _ := memory.ReadAt(text, int64(name))
	path, _, _ := bytes.Cut(text[:n], []byte{0})
	if filepath.IsAbs(string(path)) {
		return string(path)
	}
	dir := s.proc("cwd")
	if int32(folder) != unix.AT_FDCWD {
		dir = s.proc("fd", strconv.Itoa(int(int32(folder))))
	}
	target, _ := os.Readlink(dir)
	return filepath.Join(target, string(path))
}

func (s *supervisor) proc(names ...string) string {
	return filepath.Join("/proc", strconv.Itoa(s.pid), filepath.Join(names...))
}
