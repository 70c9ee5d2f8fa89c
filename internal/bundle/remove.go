package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cleanUpTime is how long what was unpacked is removed once a context has ended. What
// is then left has a name that is never taken for a bundle, and goes the next time.
const cleanUpTime = 500 * time.Millisecond

// Remove removes a folder that Unpack made, and what it may have left unfinished.
// The folder first loses its name, so that a removal that is cut off leaves
// nothing that Load would take for a bundle. An overlay file system cannot rename a
// folder of its lower layer (EXDEV): that one is removed in place, because callers
// have recorded by then that it does not count.
func Remove(ctx context.Context, dir string) error {
	stage := filepath.Clean(dir) + StageSuffix
	if err := removeTree(ctx, stage); err != nil {
		return fmt.Errorf("remove bundle: %w", err)
	}
	doomed := stage
	switch err := os.Rename(dir, stage); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EXDEV):
		doomed = dir
	case err != nil:
		return fmt.Errorf("remove bundle: %w", err)
	}
	if err := removeTree(ctx, doomed); err != nil {
		return fmt.Errorf("remove bundle: %w", err)
	}
	return nil
}

// cleanUp removes a folder after a failure, which may be the end of ctx.
func cleanUp(ctx context.Context, dir string) error {
	if ctx.Err() == nil {
		return removeTree(ctx, dir)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if err := removeTree(ctx, dir); ctx.Err() == nil {
		return err
	}
	return nil
}

// removeTree is os.RemoveAll that stops when ctx ends.
func removeTree(ctx context.Context, dir string) error {
	if err := emptyTree(ctx, dir); err != nil && ctx.Err() != nil {
		return ended(ctx)
	}
	return os.RemoveAll(dir) // the folder itself; or what was in the way, and why
}

// emptyTree removes what is in dir, if that is a folder and not a link to one.
func emptyTree(ctx context.Context, dir string) error {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if opened, err := root.Stat("."); err != nil || !os.SameFile(info, opened) {
		return err
	}
	return empty(ctx, root)
}

// empty removes what is in a folder.
func empty(ctx context.Context, root *os.Root) error {
	const some = 256
	for {
		dir, err := root.Open(".") // again each time: a folder that changes is not read reliably
		if err != nil {
			return err
		}
		entries, err := dir.ReadDir(some)
		_ = dir.Close()
		if len(entries) == 0 && (err == nil || errors.Is(err, io.EOF)) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if ctx.Err() != nil {
				return ended(ctx)
			}
			if err := removeEntry(ctx, root, e); err != nil {
				return err
			}
		}
	}
}

func removeEntry(ctx context.Context, root *os.Root, e fs.DirEntry) error {
	if e.IsDir() {
		inner, err := root.OpenRoot(e.Name())
		if err != nil {
			return err
		}
		err = empty(ctx, inner)
		_ = inner.Close()
		if err != nil {
			return err
		}
	}
	return root.Remove(e.Name())
}
