package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// changed lists what the program has written in a copy. What cannot be looked at
// is left out.
func (v *view) changed() []string {
	if v.kind != Copy {
		return nil
	}
	var paths []string
	for _, l := range v.layers {
		upper, err := l.root.OpenRoot("upper")
		if err != nil {
			continue
		}
		paths = append(paths, v.written(upper)...)
		upper.Close()
	}
	for _, dir := range v.bare { // what was made beside the overlays
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case v.made[path]:
			case e.IsDir():
				paths = append(paths, path+"/")
			default:
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// written lists what is in overlays' upper folders. A folder that the machine has
// too was only copied up, for what is in it.
func (v *view) written(upper *os.Root) (paths []string) {
	_ = fs.WalkDir(upper.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		path := "/" + name
		switch {
		case err != nil:
			return nil //nolint:nilerr // the rest is still worth showing
		case !d.IsDir() && whiteout(d):
			paths = append(paths, path+" (removed)")
		case !d.IsDir():
			paths = append(paths, path)
		case !v.onMachine(name):
			paths = append(paths, path+"/")
			return fs.SkipDir
		}
		return nil
	})
	return paths
}

// whiteout reports whether an entry stands for one that was removed: a character
// device of number 0.
func whiteout(d fs.DirEntry) bool {
	if d.Type()&fs.ModeCharDevice == 0 {
		return false
	}
	info, err := d.Info()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Rdev == 0
}

func (v *view) onMachine(name string) bool {
	_, err := v.machine.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
