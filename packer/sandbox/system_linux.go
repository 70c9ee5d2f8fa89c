package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The kernel's own folders, as the program sees them.

func mountMemory(path, options string) error {
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount memory on %s: %w", path, err)
	}
	return nil
}

// mountProc shows the processes inside. Root inside is still the owner of the
// kernel's settings, so that only a read-only mount keeps it from changing them.
func mountProc(dst string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", dst, "proc", flags, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	for _, name := range []string{"sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "driver", "asound", "mtrr"} {
		path := filepath.Join(dst, name)
		err := unix.Mount(path, path, "", unix.MS_BIND, "")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = remountReadOnly(path)
		}
		if err != nil {
			return fmt.Errorf("make /proc/%s read-only: %w", name, err)
		}
	}
	return nil
}

// mountDevices gives the devices that do nothing to the machine.
func mountDevices(dst string) error {
	if err := unix.Mount("tmpfs", dst, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		path := filepath.Join(dst, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind /dev/%s: %w", name, err)
		}
	}
	for _, dir := range []string{"shm", "pts"} {
		if err := os.Mkdir(filepath.Join(dst, dir), 0o755); err != nil {
			return err
		}
	}
	if err := mountMemory(filepath.Join(dst, "shm"), "mode=1777"); err != nil {
		return err
	}
	_ = unix.Mount("devpts", filepath.Join(dst, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666") // rarely needed
	var err error
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		err = errors.Join(err, os.Symlink(target, filepath.Join(dst, name)))
	}
	return err
}

// mountRun makes an empty /run: the sockets there belong to services that act on
// the machine itself, such as systemd and docker. Only the name servers stay.
func (v *view) mountRun(dst string) error {
	if err := mountMemory(dst, "mode=755"); err != nil {
		return err
	}
	lock := filepath.Join(dst, "lock")
	if err := errors.Join(os.Mkdir(lock, 0o755), os.Chmod(lock, 0o777|fs.ModeSticky)); err != nil {
		return err
	}
	names, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err == nil && strings.HasPrefix(names, "/run/") {
		return v.show(names, unix.MS_RDONLY)
	}
	return nil
}
