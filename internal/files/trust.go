package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Trust judges the files and folders that decide what runs with this process's
// privileges. One is trusted if nobody else can change it or put another in its place:
// it and all folders above it belong to root or to this process's own user, and
// neither group nor others can write to them. In a sticky folder, such as /tmp, the
// owner of what is in it decides.
type Trust struct {
	// Root is the folder that the paths are below, "/" on a machine. What is above a
	// scratch root is not judged: whoever named it chose its place.
	Root string
	// Confined makes absolute links lead to below Root: for an image that is looked at
	// from outside.
	Confined bool
}

// UntrustedError says which path is not to be trusted.
type UntrustedError struct {
	Path string
	Why  string
	Cure string // a command
}

func (e *UntrustedError) Error() string {
	return fmt.Sprintf("%s is not to be trusted: %s: %s", e.Path, e.Why, e.Cure)
}

// maxLinks is how many links a path may lead through, as in Linux.
const maxLinks = 40

// Check returns an [UntrustedError] for the first part of path that is not to be
// trusted, with links followed. If path is not there, the folders that are there
// decide.
func (t Trust) Check(path string) error {
	w := walk{root: filepath.Clean("/" + t.Root), confined: t.Confined}
	path = filepath.Clean(path)
	rest, below := strings.CutPrefix(path, strings.TrimSuffix(w.root, "/")+"/")
	if path == w.root {
		rest, below = "", true
	}
	if !below {
		w.root, rest = "/", path
	}
	w.at, w.todo = w.root, split(rest)
	info, err := os.Lstat(w.at)
	if err == nil {
		err = w.judge(w.at, info)
	}
	for err == nil && len(w.todo) > 0 {
		err = w.step()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// walk follows a path as the kernel does.
type walk struct {
	root     string
	confined bool
	at       string   // a folder, without a link in its path
	todo     []string // what comes below it
	links    int
}

func (w *walk) step() error {
	name := w.todo[0]
	w.todo = w.todo[1:]
	switch name {
	case ".":
		return nil
	case "..":
		if !w.confined || w.at != w.root {
			w.at = filepath.Dir(w.at)
		}
		return nil
	}
	next := filepath.Join(w.at, name)
	info, err := os.Lstat(next)
	if err != nil {
		return err
	}
	if err := w.judge(next, info); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		w.at = next
		return nil
	}
	target, err := os.Readlink(next)
	if err != nil {
		return err
	}
	if w.links++; w.links > maxLinks {
		return &fs.PathError{Op: "follow", Path: next, Err: syscall.ELOOP}
	}
	if filepath.IsAbs(target) {
		if w.at = "/"; w.confined {
			w.at = w.root
		}
	}
	w.todo = append(split(target), w.todo...)
	return nil
}

// judge judges one part of a path. A folder outside a scratch root, which a link led
// to, is as much the caller's choice as one above it.
func (w *walk) judge(path string, info fs.FileInfo) error {
	last := len(w.todo) == 0
	outside := w.root != "/" && path != w.root && !strings.HasPrefix(path, w.root+"/")
	if outside && !last {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("judge %s: its owner is not known here", path)
	}
	me := os.Geteuid()
	if uid := int(st.Uid); uid != 0 && uid != me {
		owner := "root"
		if me != 0 {
			owner = fmt.Sprint(me)
		}
		return &UntrustedError{Path: path, Why: fmt.Sprintf("it belongs to user %d", uid), Cure: "chown " + owner + " " + path}
	}
	const group, others = 0o020, 0o002
	open := info.Mode().Perm() & (group | others)
	switch {
	case open == 0, !info.Mode().IsRegular() && !info.IsDir(): // Open refuses a device or FIFO
		return nil
	case info.IsDir() && info.Mode()&fs.ModeSticky != 0 && !last:
		return nil
	case info.IsDir() && open == group && me != 0 && int(st.Gid) == me:
		return nil // a user's private group, which umask 002 is made for
	}
	return &UntrustedError{Path: path, Why: "others than its owner can write to it", Cure: "chmod go-w " + path}
}
