//go:build !linux

package bundle

import "golang.org/x/sys/unix"

// syncFilesystem writes out all filesystems.
func syncFilesystem(string) error { return unix.Sync() }
