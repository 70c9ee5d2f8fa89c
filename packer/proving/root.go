package proving

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Bases are the systems that a machine can be made of.
func Bases() []string { return []string{"debian12", "debian13"} }

func isBase(name string) bool { return slices.Contains(Bases(), name) }

func suite(base string) string {
	return map[string]string{"debian12": "bookworm", "debian13": "trixie"}[base]
}

// basePackages are what Debian's own cloud images have and its smallest root
// does not, as far as modules may rely on it.
const basePackages = "systemd-sysv,dbus,udev,libpam-systemd,iproute2,procps,ca-certificates,curl,hostname,e2fsprogs"

func (o Options) rootDir() string { return filepath.Join(o.cache(), "roots", o.Base) }

// root returns the folder to lay the machine over: the image, or the base's
// root, which is made once and then kept in the cache.
func (o Options) root(ctx context.Context) (string, error) {
	if o.Image != "" {
		return filepath.Abs(o.Image)
	}
	dir := o.rootDir()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "."+o.Base+"-")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(o.Stderr, "making a root of %s, once: %s\n", o.Base, dir)
	// the mirrors by one name: it may be all that a proxy lets through
	const mirror = "http://deb.debian.org"
	s := suite(o.Base)
	c := exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--include="+basePackages, s, part,
		"deb "+mirror+"/debian "+s+" main",
		"deb "+mirror+"/debian "+s+"-updates main",
		"deb "+mirror+"/debian-security "+s+"-security main")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	apart(c)
	if out, err := c.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("make a root of %s: %w: %s", o.Base, err, lastLines(string(out), 5)), os.RemoveAll(part))
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(part, dir); err != nil {
		if _, made := os.Stat(dir); made != nil {
			return "", err
		}
		return dir, os.RemoveAll(part) // somebody else was first
	}
	return dir, nil
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
