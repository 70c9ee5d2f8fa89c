package proving

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a machine may take.
const (
	bootPatience = time.Minute
	stopPatience = 20 * time.Second
)

// rebooted is the exit code of systemd-nspawn --keep-unit when the machine asked
// for a reboot.
const rebooted = 133

// machine is one container and everything made for it.
type machine struct {
	name    string // of the container and its cgroups
	dir     string // all of its own: overlay, disk, logs
	debs    string // the packages that every machine shares
	needs   Needs
	mounted bool
	cgroups []string
	disk    *disk

	nspawn *exec.Cmd
	down   chan struct{} // closed when nspawn has ended
	leader int           // its first process, as numbered here
	world  world
}

// newMachine lays a machine over the root folder lower, not yet booted. The
// caller removes it.
func newMachine(lower, cache string, needs Needs) (m *machine, err error) {
	machines := filepath.Join(cache, "machines")
	if err := os.MkdirAll(machines, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(machines, "sam-")
	if err != nil {
		return nil, err
	}
	m = &machine{name: filepath.Base(dir), dir: dir, debs: filepath.Join(cache, "packages"), needs: needs}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.remove())
		}
	}()
	for _, sub := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	// volatile: it is thrown away, so nothing of it need ever reach the disk
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile", lower, filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	if _, err := output("mount", "-t", "overlay", "-o", options, "overlay", m.path("/")); err != nil {
		return nil, err
	}
	m.mounted = true
	if needs.Disk != nil {
		if err := m.addDisk(*needs.Disk); err != nil {
			return nil, err
		}
	}
	return m, errors.Join(m.makeCgroups(), m.settle())
}

// path returns where a file of the machine is on this one.
func (m *machine) path(file string) string { return filepath.Join(m.dir, "root", file) }

// device is the machine's blank disk; empty where it has none.
func (m *machine) device() string {
	if m.disk == nil {
		return ""
	}
	return m.disk.device
}

// settle removes what the root took from where it was made, and adds what a
// machine without network and console lacks.
func (m *machine) settle() error {
	for _, file := range []string{"/etc/hostname", "/etc/resolv.conf"} {
		if err := os.RemoveAll(m.path(file)); err != nil {
			return err
		}
	}
	if _, err := os.Stat(m.path("/etc/hosts")); err != nil {
		if err := os.WriteFile(m.path("/etc/hosts"), []byte("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"), 0o644); err != nil {
			return err
		}
	}
	firstboot := m.path("/etc/systemd/system/systemd-firstboot.service")
	if err := os.RemoveAll(firstboot); err != nil {
		return err
	}
	if err := os.Symlink("/dev/null", firstboot); err != nil {
		return err
	}
	for file, content := range m.needs.Files {
		if err := os.MkdirAll(filepath.Dir(m.path(file)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(m.path(file), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyIn copies a file of this machine to the other.
func (m *machine) copyIn(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(m.path(to), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// arguments are what systemd-nspawn is called with.
func (m *machine) arguments() []string {
	args := []string{
		"systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--private-network",
		"--machine=" + m.name, "--hostname=" + m.name, "--directory=" + m.path("/"),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
	}
	if len(m.needs.Capabilities) > 0 {
		args = append(args, "--capability="+strings.Join(m.needs.Capabilities, ","))
	}
	if len(m.needs.SystemCalls) > 0 {
		args = append(args, "--system-call-filter="+strings.Join(m.needs.SystemCalls, " "))
	}
	if m.disk != nil {
		args = append(args, m.disk.arguments()...)
	}
	return args
}

// boot starts the machine and waits until its systemd says that it is up.
func (m *machine) boot(ctx context.Context) error {
	console, err := os.OpenFile(m.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	args := append([]string{"-c", inCgroups, "sh"}, m.cgroups...)
	args = append(append(args, "--"), m.arguments()...)
	c := exec.Command("/bin/sh", args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"}
	if m.needs.NetSettings {
		c.Env = append(c.Env, "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	}
	c.Stdout, c.Stderr = console, console
	apart(c)
	if err := c.Start(); err != nil {
		return fmt.Errorf("start systemd-nspawn: %w", err)
	}
	m.nspawn, m.down = c, make(chan struct{})
	go func() {
		_ = c.Wait()
		close(m.down)
	}()
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !m.up(ctx) {
		select {
		case <-tick.C:
		case <-m.down:
			return fmt.Errorf("the machine did not boot: %s", m.consoleTail())
		case <-ctx.Done():
			return fmt.Errorf("the machine was not up after %v: %w: %s", bootPatience, context.Cause(ctx), m.consoleTail())
		}
	}
	return m.world.open(m.leader)
}

// up looks for the machine's first process, and asks it whether it is up.
func (m *machine) up(ctx context.Context) bool {
	m.leader = firstProcess(m.nspawn.Process.Pid, 3)
	if m.leader == 0 {
		return false
	}
	out, _ := m.enter(ctx, "systemctl", "is-system-running").Output()
	state := string(bytes.TrimSpace(out))
	return state == "running" || state == "degraded"
}

// firstProcess finds, among the descendants of pid, the one that is number 1 in
// a pid namespace of its own; 0 where there is none yet.
func firstProcess(pid, depth int) int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil || depth == 0 {
		return 0
	}
	for _, field := range strings.Fields(string(children)) {
		child, _ := strconv.Atoi(field)
		status, err := os.ReadFile("/proc/" + field + "/status")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(status), "\nNSpid:")
		line, _, _ := strings.Cut(rest, "\n")
		if ids := strings.Fields(line); len(ids) > 1 && ids[len(ids)-1] == "1" {
			return child
		}
		if found := firstProcess(child, depth-1); found != 0 {
			return found
		}
	}
	return 0
}

// enter is a command inside the machine, as root, with a plain environment.
func (m *machine) enter(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(m.leader), "--all", "--"}, args...)...)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	apart(c)
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = stopPatience
	return c
}

func (m *machine) enterCommand() string {
	return fmt.Sprintf("nsenter -t %d -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=$TERM bash -l", m.leader)
}

func (m *machine) console() string { return filepath.Join(m.dir, "console.log") }

func (m *machine) consoleTail() string {
	text, err := os.ReadFile(m.console())
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 15)
}

// again waits until a machine that asked for a reboot is down, and boots it.
func (m *machine) again(ctx context.Context) error {
	select {
	case <-m.down:
	case <-time.After(bootPatience):
		return errors.New("the machine asked for a reboot and did not go down")
	case <-ctx.Done():
		return ctx.Err()
	}
	m.world.close()
	if code := m.nspawn.ProcessState.ExitCode(); code != rebooted {
		return fmt.Errorf("the machine went down with code %d: %s", code, m.consoleTail())
	}
	return m.boot(ctx)
}

// remove stops the machine and removes all that was made for it. Its first
// process is killed: with it, the kernel ends all the others and unmounts what
// they mounted. Nothing of it is kept, so nothing need be put in order.
func (m *machine) remove() error {
	var problems []error
	m.world.close()
	if m.nspawn != nil {
		if m.leader != 0 {
			_ = syscall.Kill(m.leader, syscall.SIGKILL)
		} else {
			_ = m.nspawn.Process.Kill()
		}
		select {
		case <-m.down:
		case <-time.After(stopPatience):
			_ = m.nspawn.Process.Kill()
			<-m.down
		}
	}
	if m.disk != nil {
		problems = append(problems, m.disk.release())
	}
	if m.mounted {
		_, err := output("umount", m.path("/"))
		problems = append(problems, err)
		if err != nil {
			return errors.Join(problems...) // the folder is in use: leave it
		}
	}
	m.removeCgroups()
	return errors.Join(append(problems, os.RemoveAll(m.dir))...)
}

// apart gives a command a process group of its own: a Ctrl-C on the terminal is
// for this program, which then ends the command.
func apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// output runs a short command and returns what it printed; its error says what
// it complained of.
func output(program string, args ...string) (string, error) {
	c := exec.Command(program, args...)
	apart(c)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
