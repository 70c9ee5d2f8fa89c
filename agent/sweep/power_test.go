//go:build linux

package sweep_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"startup-bundle/agent/record"
)

// A power cut loses what is not on the disk, which a kill does not. Here the disk
// is an ext4 file system on a loop device. EXT4_IOC_SHUTDOWN (fs/ext4/ioctl.c)
// stops all that goes to it, as a power cut does, without its last journal
// transaction; the next mount replays the journal. It needs a mount namespace of its
// own: in a copy that another process makes of this one the file system would live on.

const (
	// powerCutsEnv is how many cuts there are: "make power-test" has 200.
	powerCutsEnv = "POWER_CUTS"
	// cutsInARow is how many cuts one machine has before it may end.
	cutsInARow = 4

	shutdownRequest  = 0x8004587d // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
	flushLog         = 1          // EXT4_GOING_FLAGS_LOGFLUSH
	loseLog          = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	unmountTries     = 200
	diskBytes        = 32 << 20
	powerOffPatience = 10 * time.Millisecond
)

// disk is what a machine has below its root.
type disk struct{ image, mount string }

func newDisk(t *testing.T, m *machine) *disk {
	t.Helper()
	d := &disk{image: filepath.Join(m.dir, "disk"), mount: m.root()}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, diskBytes); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", d.image)
	d.on(t)
	t.Cleanup(func() {
		d.signal(unix.SIGKILL)
		_ = unix.Unmount(d.mount, unix.MNT_DETACH)
	})
	return d
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (d *disk) on(t *testing.T) {
	t.Helper()
	run(t, "mount", "-o", "loop", d.image, d.mount)
}

// cut takes the power away. What runs is stopped first: it must not go on, without
// the disk, to write outside of it what it saw.
func (d *disk) cut(how uint32) error {
	for range 2 { // the second for what was forked meanwhile
		d.signal(unix.SIGSTOP)
	}
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdownRequest, uintptr(unsafe.Pointer(&how))); errno != 0 {
		return fmt.Errorf("EXT4_IOC_SHUTDOWN: %w", errno)
	}
	return nil
}

func (d *disk) signal(sig unix.Signal) {
	for _, pid := range below(d.mount) {
		_ = unix.Kill(pid, sig)
	}
}

// off unmounts what was cut off.
func (d *disk) off(t *testing.T) {
	t.Helper()
	for try := 0; ; try++ {
		d.signal(unix.SIGKILL)
		err := unix.Unmount(d.mount, 0)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EBUSY) || try == unmountTries {
			t.Fatalf("unmount: %v", err)
		}
		<-time.After(powerOffPatience)
	}
}

func TestPowerCuts(t *testing.T) {
	cuts, seed := number(t, powerCutsEnv, 0), number(t, crashSeedEnv, uint64(time.Now().UnixNano()))
	switch {
	case cuts == 0:
		t.Skip("it needs root and a loop device: make power-test runs it")
	case os.Geteuid() != 0:
		t.Skip("it mounts a file system: run it as root")
	}
	needFlock(t)
	program := build(t)
	f := newFixture(t, crashed(), program, false)
	random := rand.New(rand.NewPCG(seed, 0))
	done := 0
	for done < int(cuts) && !t.Failed() {
		done += f.powerCuts(t, random)
	}
	t.Logf("%d power cuts, %s=%d", done, crashSeedEnv, seed)
}

// powerCuts cuts the power of one machine a few times, and then lets it end.
func (f *fixture) powerCuts(t *testing.T, random *rand.Rand) (cuts int) {
	t.Helper()
	t.Run("machine", func(t *testing.T) {
		m := f.machine(t)
		d := newDisk(t, m)
		for range 1 + random.IntN(cutsInARow) {
			cuts++
			left, before := m.record(t), m.ledger(t)
			how, after := uint32(loseLog), time.Duration(random.Int64N(int64(700*time.Millisecond)))
			if random.IntN(4) == 0 {
				how = flushLog
			}
			code := m.powerCut(t, d, how, after)
			ran := m.ledger(t)
			t.Logf("cut after %v, %d: exit code %d, ran %v", after, how, code, ran[len(before):])
			notAgain(t, left, ran[len(before):])
			r := m.record(t)
			f.promised(t, r, ran)
			if code == 0 && (r == nil || r.State != record.Succeeded) {
				t.Errorf("the run had succeeded, and the record is %+v", r)
			}
		}
		f.recovers(t, m, nil, "after the last power cut")
		m.noOverlap(t)
		d.off(t)
	})
	return cuts
}

// powerCut runs the agent and cuts the power after so long. It returns the exit
// code of a run that had ended by then, else -1.
func (m *machine) powerCut(t *testing.T, d *disk, how uint32, after time.Duration) (code int) {
	t.Helper()
	c := exec.Command(m.program, "run", "--root", m.root(), "--userdata", m.userdata)
	c.Env = environment()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait()
	}()
	code = -1
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
		code = c.ProcessState.ExitCode()
	}
	if err := d.cut(how); err != nil {
		t.Fatal(err)
	}
	_ = c.Process.Kill()
	<-ended
	d.off(t)
	d.on(t)
	return code
}
