package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// shm is where Linux usually has a tmpfs that everyone may write to.
const shm = "/dev/shm"

// roomNeeded is what the payloads, their bundles and what is unpacked of them
// take at once, in bytes.
const roomNeeded = 7 << 30

// place is a scratch folder and the name of its filesystem.
type place struct{ dir, fs string }

// newPlace makes a scratch folder below dir. The caller removes it.
func newPlace(dir string) (place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return place{}, err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return place{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	if dir, err = os.MkdirTemp(dir, "bench-"); err != nil {
		return place{}, fmt.Errorf("make scratch folder: %w", err)
	}
	return place{dir, fsName(stat.Type)}, nil
}

// fastPlace is a scratch folder on tmpfs, where there is one with room on which
// programs can be run; else one below disk.
func fastPlace(disk string) (place, error) {
	var stat unix.Statfs_t
	err := unix.Statfs(shm, &stat)
	switch {
	case err != nil:
		err = fmt.Errorf("look at it: %w", err)
	case int64(stat.Bavail)*stat.Bsize < roomNeeded:
		err = fmt.Errorf("it has less than %d GiB free", roomNeeded>>30)
	case stat.Flags&unix.ST_NOEXEC != 0:
		err = errors.New("no program can be run on it")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "no tmpfs at %s (%v): all is measured on the disk\n", shm, err)
		return newPlace(disk)
	}
	return newPlace(shm)
}

func fsName(magic int64) string {
	switch magic {
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return fmt.Sprintf("filesystem %#x", magic)
}
