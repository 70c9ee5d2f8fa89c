package proving

import (
	"os"
	"path/filepath"
)

// cgroups returns the hierarchies that systemd in a container uses: the unified
// one, or where version 1 is mounted, systemd's own and the unified one beside.
func cgroups() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	var found []string
	for _, name := range []string{"systemd", "unified"} {
		dir := filepath.Join("/sys/fs/cgroup", name)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			found = append(found, dir)
		}
	}
	return found
}

// inCgroups is a script that joins the cgroups before --, and becomes the
// command after it.
const inCgroups = `while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"`

// makeCgroups makes the machine's own cgroups: two containers in one would share
// its subgroups.
func (m *machine) makeCgroups() error {
	for _, h := range cgroups() {
		dir := filepath.Join(h, m.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		m.cgroups = append(m.cgroups, dir)
	}
	return nil
}

// removeCgroups removes the machine's cgroups, leaves first; their processes are
// gone.
func (m *machine) removeCgroups() {
	for _, top := range m.cgroups {
		var dirs []string
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = os.Remove(dirs[i])
		}
	}
}
