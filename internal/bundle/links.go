package bundle

import (
	"context"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
)

// maxHops is how many symbolic links one path may lead through: what os.Root follows.
// Linux itself follows 40.
const maxHops = 8

// links judges where the symbolic links of a tree lead, by the names of the tree alone:
// to ask the kernel takes a system call for each folder on the way of each link.
//
// A link may not leave the tree, by itself or through others. A name that is not a
// folder of the tree is taken for one, for it may be made later.
type links struct {
	folder  func(name string) bool // whether the tree has this folder
	targets map[string]string      // by the link's name, clean and relative to the tree
	ends    map[string]*place      // where links lead; nil: being found out
}

// place is where a path has led.
type place struct {
	dir    string // a folder of the tree
	beyond int    // names below it that are not folders of the tree
	hops   int    // links on the way
}

// check refuses the tree if one of its links leaves it.
func (l *links) check(ctx context.Context, root *os.Root) error {
	l.ends = make(map[string]*place, len(l.targets))
	for name := range l.targets {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		if _, ok := l.follow(name, 0); !ok {
			return l.refuse(name)
		}
		if runtime.GOOS == "linux" {
			continue
		}
		// Other systems may take two spellings for one name.
		if _, err := root.Stat(name); err != nil && !os.IsNotExist(err) {
			return l.refuse(name)
		}
	}
	return nil
}

func (l *links) refuse(name string) error {
	return unsafe("the link %q leads out of its folder, or in a circle, by %.80q", name, l.targets[name])
}

// follow returns where the link leads. It fails on the way out, in a circle, and after
// maxHops links.
func (l *links) follow(name string, depth int) (*place, bool) {
	if end, known := l.ends[name]; known {
		return end, end != nil
	}
	if depth == maxHops {
		return nil, false
	}
	l.ends[name] = nil
	at := &place{dir: path.Dir(name), hops: 1}
	for part := range strings.SplitSeq(l.targets[name], "/") {
		if !l.step(at, part, depth) || at.hops > maxHops {
			return nil, false
		}
	}
	l.ends[name] = at
	return at, true
}

// step goes one name further.
func (l *links) step(at *place, part string, depth int) bool {
	switch {
	case part == "" || part == ".":
		return true
	case part == ".." && at.beyond > 0:
		at.beyond--
		return true
	case part == "..":
		out := at.dir == "."
		at.dir = path.Dir(at.dir)
		return !out
	case at.beyond > 0:
		at.beyond++
		return true
	}
	next := part
	if at.dir != "." {
		next = at.dir + "/" + part
	}
	if _, ok := l.targets[next]; ok {
		end, ok := l.follow(next, depth+1)
		if ok {
			at.dir, at.beyond, at.hops = end.dir, end.beyond, at.hops+end.hops
		}
		return ok
	}
	if l.folder(next) {
		at.dir = next
	} else {
		at.beyond = 1
	}
	return true
}

// linksOf finds the links of a folder on the disk.
func linksOf(ctx context.Context, root *os.Root) (*links, error) {
	folders, targets := map[string]bool{}, map[string]string{}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ended(ctx)
		case d.IsDir():
			folders[name] = true
		case d.Type() == fs.ModeSymlink:
			if targets[name], err = root.Readlink(name); err == nil {
				err = checkLink(name, targets[name])
			}
		}
		return err
	})
	return &links{folder: func(name string) bool { return folders[name] }, targets: targets}, err
}

func (x *extractor) symlink(name, target string) error {
	if err := checkLink(name, target); err != nil {
		return err
	}
	if _, twice := x.links[name]; twice {
		return unsafe("%q is there twice", name)
	}
	x.links[name] = target
	x.names += int64(len(name) + len(target))
	return nil
}

// makeLinks makes the links once every file and folder is there, so that nothing is
// ever written through one, and then looks where each really leads: a chain of links
// that each look harmless can climb.
func (x *extractor) makeLinks(ctx context.Context, root *os.Root) error {
	for _, l := range x.hard {
		if err := x.linkFolder(ctx, l[0]); err != nil {
			return err
		}
	}
	for name := range x.links {
		if err := x.linkFolder(ctx, name); err != nil {
			return err
		}
	}
	for _, l := range x.hard {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		info, err := root.Lstat(l[1])
		if err != nil || !info.Mode().IsRegular() {
			return unsafe("the hard link %q points to %q, which is not a file of the archive", l[0], l[1])
		}
		if err := madeOnce(l[0], root.Link(l[1], l[0])); err != nil {
			return err
		}
	}
	for name, target := range x.links {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		if err := madeOnce(name, root.Symlink(target, name)); err != nil {
			return err
		}
	}
	inside := &links{folder: x.w.has, targets: x.links}
	return inside.check(ctx, root)
}

// linkFolder makes the folder that a link stands in.
func (x *extractor) linkFolder(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if err := x.w.makeAll(path.Dir(name)); err != nil {
		return err
	}
	return x.count()
}
