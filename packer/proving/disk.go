package proving

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// disk is a blank disk: a loop device over a sparse file, which may carry a file
// system.
type disk struct {
	device string
	mount  string // on this machine; empty: the machine has the device itself
	folder string // on the machine
}

// addDisk makes the machine's disk.
func (m *machine) addDisk(d Disk) error {
	file := filepath.Join(m.dir, "disk.img")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskBytes(d.Size)), f.Close()); err != nil {
		return err
	}
	out, err := output("losetup", "--find", "--show", file)
	if err != nil {
		return err
	}
	m.disk = &disk{device: strings.TrimSpace(out), folder: d.Folder}
	if d.Folder == "" {
		return nil
	}
	if _, err := output("mkfs.ext4", "-q", m.disk.device); err != nil {
		return err
	}
	mount := filepath.Join(m.dir, "disk")
	if err := os.Mkdir(mount, 0o755); err != nil {
		return err
	}
	if _, err := output("mount", "-t", "ext4", m.disk.device, mount); err != nil {
		return err
	}
	m.disk.mount = mount
	return nil
}

// diskBytes reads a size that check has let pass.
func diskBytes(size string) int64 {
	n, _ := strconv.ParseInt(size[:len(size)-1], 10, 64)
	if strings.HasSuffix(size, "g") {
		n <<= 10
	}
	return n << 20
}

// arguments are systemd-nspawn's, to hand the disk over.
func (d *disk) arguments() []string {
	if d.mount != "" {
		return []string{"--bind=" + d.mount + ":" + d.folder}
	}
	return []string{"--bind=" + d.device}
}

// release gives the loop device back. Swap outlives the machine that switched
// it on, and holds the file system: it is switched off first.
func (d *disk) release() error {
	var problems []error
	if d.mount != "" {
		files, _ := os.ReadDir(d.mount)
		for _, f := range files {
			if f.Type().IsRegular() {
				_ = exec.Command("swapoff", filepath.Join(d.mount, f.Name())).Run() // it is no swap file
			}
		}
		_, err := output("umount", d.mount)
		problems = append(problems, err)
	}
	_, err := output("losetup", "--detach", d.device)
	return errors.Join(append(problems, err)...)
}
