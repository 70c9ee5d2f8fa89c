package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// order is what the first process inside is told, as JSON on its control pipe.
// After it come bytes: go, then perhaps stop. The end of the pipe means that the
// caller has died.
type order struct {
	Kind    Kind
	Normal  bool // the user is not root
	Program string
	Args    []string
	Root    string
	Scratch string
}

const (
	byteGo   = 'g'
	byteStop = 's'
)

// report is what it answers: once when it is ready, or why it cannot be, and once
// when the program has ended.
type report struct {
	Error   string
	Outcome Outcome
}

// The pipes' numbers inside.
const (
	controlFD = 3
	reportFD  = 4
)

// Run runs the program in the first kind of sandbox that works, and returns when
// it has ended. When ctx ends, the program is asked to stop. If no kind works, the
// error is an [UnprotectedError] and nothing has run.
func Run(ctx context.Context, o Options) (Outcome, error) {
	kinds := o.Kinds
	if kinds == nil {
		kinds = []Kind{Copy, ReadOnly}
		if os.Geteuid() != 0 { // root passes Landlock: sethostname, chmod, kill
			kinds = append(kinds, Landlock)
		}
	}
	cause := errors.New("no kind of sandbox is allowed")
	for i, kind := range kinds {
		s, err := o.begin(kind)
		if err != nil {
			if i == 0 {
				cause = err
			}
			continue
		}
		if o.Begin != nil {
			o.Begin(kind)
		}
		return s.run(ctx)
	}
	return Outcome{}, &UnprotectedError{cause}
}

// running is a sandbox that is set up.
type running struct {
	command *exec.Cmd
	control *os.File
	reports *os.File
	decoder *json.Decoder
}

// begin starts a sandbox. A copy gets a second try: a folder or a mount that another
// program removes at this moment must not cost it.
func (o Options) begin(kind Kind) (*running, error) {
	if o.refuse != nil {
		if err := o.refuse(kind); err != nil {
			return nil, err
		}
	}
	s, err := o.start(kind)
	if err != nil && kind == Copy {
		s, err = o.start(kind)
	}
	return s, err
}

func (o Options) start(kind Kind) (*running, error) {
	theirControl, control, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirControl.Close()
	reports, theirReports, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	defer theirReports.Close()
	s := &running{control: control, reports: reports, decoder: json.NewDecoder(reports)}
	s.command = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{os.Args[0], Command}, Env: o.Env, Stdout: o.Stdout, Stderr: o.Stderr,
		ExtraFiles: []*os.File{theirControl, theirReports}, WaitDelay: patience,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}, // see Here
	}
	if kind != Landlock {
		if err := outerNamespaces(s.command.SysProcAttr); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if err := s.command.Start(); err != nil {
		return nil, errors.Join(startCause(err), s.close())
	}
	var ready report
	err = json.NewEncoder(control).Encode(order{kind, os.Geteuid() != 0, o.Program, o.Args, o.Root, o.Scratch})
	if err == nil {
		err = s.decoder.Decode(&ready)
	}
	if err == nil && ready.Error == "" {
		return s, nil
	}
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
	if ready.Error != "" {
		err = errors.New(ready.Error)
	}
	return nil, errors.Join(err, s.close())
}

// startCause leaves the program's own name out of why it cannot be started.
func startCause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fmt.Errorf("user namespaces: %w", errno)
	}
	return err
}

func (s *running) close() error { return errors.Join(s.control.Close(), s.reports.Close()) }

func (s *running) run(ctx context.Context) (Outcome, error) {
	defer s.close()
	if _, err := s.control.Write([]byte{byteGo}); err != nil {
		return Outcome{}, fmt.Errorf("start the sandbox: %w", err)
	}
	killed := make(chan struct{})
	defer close(killed)
	stop := context.AfterFunc(ctx, func() {
		_, _ = s.control.Write([]byte{byteStop})
		select {
		case <-killed:
		case <-time.After(2 * patience): // it has its own patience with the program
			_ = s.command.Process.Kill()
		}
	})
	defer stop()
	var last report
	err := s.decoder.Decode(&last)
	_ = s.command.Wait()
	switch {
	case err != nil:
		return Outcome{}, fmt.Errorf("the sandbox ended early: %v", s.command.ProcessState)
	case last.Error != "":
		return Outcome{}, errors.New(last.Error)
	}
	return last.Outcome, nil
}

// outerNamespaces makes attr those of the layer that holds the mounts. Root keeps
// all its IDs, so that chown and useradd work; a normal user becomes root there
// and has no other ID.
func outerNamespaces(attr *syscall.SysProcAttr) (err error) {
	attr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID
	if os.Geteuid() == 0 {
		return sameIDs(attr)
	}
	attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	return nil
}

// sameIDs maps the IDs that this process has to themselves.
func sameIDs(attr *syscall.SysProcAttr) (err error) {
	if attr.UidMappings, err = readIDs("/proc/self/uid_map"); err != nil {
		return err
	}
	if attr.GidMappings, err = readIDs("/proc/self/gid_map"); err != nil {
		return err
	}
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	attr.GidMappingsEnableSetgroups = err == nil && strings.TrimSpace(string(setgroups)) == "allow"
	return nil
}

func readIDs(file string) ([]syscall.SysProcIDMap, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var ids []syscall.SysProcIDMap
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		first, err1 := strconv.Atoi(fields[0])
		size, err2 := strconv.Atoi(fields[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		ids = append(ids, syscall.SysProcIDMap{ContainerID: first, HostID: first, Size: size})
	}
	return ids, nil
}
