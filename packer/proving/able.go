package proving

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// UnableError says what this machine lacks.
type UnableError struct{ Missing []string }

func (e *UnableError) Error() string {
	return "this machine cannot boot another: " + strings.Join(e.Missing, "; ")
}

// where the programs come from on Debian.
func packageOf(program string) string {
	switch program {
	case "systemd-nspawn":
		return "systemd-container"
	case "mkfs.ext4":
		return "e2fsprogs"
	case "mmdebstrap":
		return "mmdebstrap"
	}
	return "util-linux"
}

// able returns an [UnableError] when something is missing here that the proof needs.
func (o Options) able(n Needs) error {
	var missing []string
	if runtime.GOOS != "linux" {
		return &UnableError{[]string{"it needs Linux"}}
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "you are not root: run it with sudo")
	}
	programs := []string{"systemd-nspawn", "nsenter", "mount", "umount"}
	if n.Disk != nil {
		programs = append(programs, "losetup", "mkfs.ext4", "swapoff")
	}
	if o.Image == "" {
		if !isBase(o.Base) {
			return fmt.Errorf("base %q is none of %s: another system is tested with --image DIR", o.Base, strings.Join(Bases(), ", "))
		}
		if _, err := os.Stat(o.rootDir()); err != nil {
			programs = append(programs, "mmdebstrap")
		}
	} else if _, err := os.Stat(filepath.Join(o.Image, "usr")); err != nil {
		return fmt.Errorf("image %s is not the root folder of a system: %w", o.Image, err)
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("there is no %s: install the package %s", program, packageOf(program)))
		}
	}
	systems, err := os.ReadFile("/proc/filesystems")
	if err != nil || !strings.Contains(string(systems), "\toverlay\n") {
		if exec.Command("modprobe", "overlay").Run() != nil {
			missing = append(missing, "the kernel has no overlay file system")
		}
	}
	if len(cgroups()) == 0 {
		missing = append(missing, "there is no cgroup of systemd's kind below /sys/fs/cgroup")
	}
	if len(missing) > 0 {
		return &UnableError{missing}
	}
	return nil
}

// Unable reports whether err says that this machine cannot boot another.
func Unable(err error) bool {
	var unable *UnableError
	return errors.As(err, &unable)
}
