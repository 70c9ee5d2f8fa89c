package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// view is the file system that the program sees. It is made in <scratch>/view:
// a tmpfs in which each folder of the machine's root has its place.
type view struct {
	kind     Kind
	top      string   // where it is made
	machine  *os.Root // the machine's own files, which are out of sight later
	mounts   []string // its mount points
	layers   []layer  // where overlays put what is written, the first that works is used
	covered  int      // overlays mounted
	readOnly []string // folders of a copy that no overlay could be put over
	bare     []string // folders that are the view's own, without an overlay
	made     map[string]bool
}

// layer is a folder for overlays' upper and work folders.
type layer struct {
	path string
	root *os.Root // reaches it when path is out of sight
}

// makeView makes it and makes it this process's root. What is written goes to
// <scratch>/disk or, if the file system there cannot hold an overlay's files (another
// overlay cannot), to memory.
func makeView(o order) (v *view, err error) {
	defer unix.Umask(unix.Umask(0o022))
	v = &view{kind: o.Kind, top: filepath.Join(o.Scratch, "view"), made: map[string]bool{}}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("mount privately: %w", err)
	}
	if v.machine, err = os.OpenRoot("/"); err != nil {
		return nil, err
	}
	if v.mounts, err = mountPoints(); err != nil {
		return nil, err
	}
	for _, name := range []string{"disk", "memory"} {
		l := layer{path: filepath.Join(o.Scratch, name)}
		if err := os.MkdirAll(l.path, 0o755); err != nil {
			return nil, err
		}
		if name == "memory" {
			if err := mountMemory(l.path, "mode=755"); err != nil {
				return nil, err
			}
		}
		if l.root, err = os.OpenRoot(l.path); err != nil {
			return nil, err
		}
		v.layers = append(v.layers, l)
	}
	if err := os.MkdirAll(v.top, 0o755); err != nil {
		return nil, err
	}
	if err := mountMemory(v.top, "mode=755"); err != nil {
		return nil, err
	}
	if err := v.fill("/"); err != nil {
		return nil, err
	}
	if v.kind == Copy && v.covered == 0 {
		return nil, errors.New("no overlay can be mounted")
	}
	if v.kind == ReadOnly || o.Normal { // an overlay cannot copy folders whose owner has no ID here
		if err := mountMemory(v.top+"/var/tmp", "mode=1777"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := v.show(o.Root, 0); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(v.top + o.Program); err != nil { // it is in /run, say
		if err := v.show(o.Program, unix.MS_RDONLY); err != nil {
			return nil, err
		}
	}
	return v, v.pivot()
}

// pivot makes the view this process's root.
func (v *view) pivot() error {
	if err := os.Chdir(v.top); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil { // the old root is then on top of the new one
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return os.Chdir("/")
}

// fill gives every entry of a folder its place in the view's own folder.
func (v *view) fill(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	v.bare = append(v.bare, dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		v.made[path] = true
		switch {
		case e.IsDir():
			err = v.place(path)
		case e.Type()&fs.ModeSymlink != 0:
			var target string
			if target, err = os.Readlink(path); err == nil {
				err = os.Symlink(target, v.top+path)
			}
		default:
			err = v.show(path, unix.MS_RDONLY)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// place gives one folder its place.
func (v *view) place(path string) error {
	dst := v.top + path
	if err := os.Mkdir(dst, 0o755); err != nil {
		return err
	}
	switch path {
	case "/proc":
		return mountProc(dst)
	case "/sys":
		return v.bindReadOnly(path)
	case "/dev":
		return mountDevices(dst)
	case "/run":
		return v.mountRun(dst)
	}
	if v.kind == Copy {
		if v.overlay(path) == nil {
			return nil
		}
		// overlays do not reach over mounts: each folder beside them has its own
		if v.mountedBelow(path) && strings.Count(path, "/") < 4 {
			imitate(path, dst)
			return v.fill(path)
		}
	}
	if path == "/tmp" {
		return mountMemory(dst, "mode=1777")
	}
	var before unix.Statfs_t
	if unix.Statfs(path, &before) == nil && before.Flags&unix.MS_RDONLY == 0 && v.kind == Copy {
		v.readOnly = append(v.readOnly, path)
	}
	return v.bindReadOnly(path)
}

func (v *view) overlay(path string) (err error) {
	for _, l := range v.layers {
		upper, work := filepath.Join(l.path, "upper", path), filepath.Join(l.path, "work", strconv.Itoa(len(v.made)))
		if err = errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
			return err
		}
		imitate(path, upper)
		options := "lowerdir=" + escape(path) + ",upperdir=" + escape(upper) + ",workdir=" + escape(work) + ",userxattr"
		if err = unix.Mount("overlay", v.top+path, "overlay", 0, options); err == nil {
			v.covered++
			return nil
		}
		_ = os.Remove(upper)
	}
	return err
}

// escape is for a path among an overlay's options.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}

// imitate gives a folder the owner and mode of another, as far as the user may.
func imitate(model, dir string) {
	info, err := os.Stat(model)
	if err != nil {
		return
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(dir, int(stat.Uid), int(stat.Gid))
	}
	_ = os.Chmod(dir, info.Mode()&^fs.ModeType)
}

// show makes a file or folder of the machine seen at its own path, itself and not
// a copy.
func (v *view) show(path string, flags uintptr) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	dst := v.top + path
	dir := dst
	if !info.IsDir() {
		dir = filepath.Dir(dst)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if !info.IsDir() {
		f, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		f.Close()
	}
	if err := unix.Mount(path, dst, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", path, err)
	}
	if flags&unix.MS_RDONLY != 0 {
		return remountReadOnly(dst)
	}
	return nil
}

// bindReadOnly shows a folder with all that is mounted below it, read-only.
func (v *view) bindReadOnly(path string) error {
	if err := unix.Mount(path, v.top+path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := remountReadOnly(v.top + path); err != nil {
		return err
	}
	for _, m := range v.mounts {
		if !within(m, path) {
			continue
		}
		// one that is hidden by another mount, or whose server has gone, is not to be reached
		if err := remountReadOnly(v.top + m); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EACCES) {
			return err
		}
	}
	return nil
}

// remountReadOnly makes one mount read-only and leaves its other flags, which may
// be locked.
func remountReadOnly(path string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	kept := uintptr(stat.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC) // statfs(2) has the same bits for these
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|kept, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

func within(path, dir string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }

func (v *view) mountedBelow(dir string) bool {
	return slices.ContainsFunc(v.mounts, func(m string) bool { return within(m, dir) })
}

// mountPoints reads this process's mount points: proc_pid_mountinfo(5).
func mountPoints() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	return points, nil
}
