package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// entry is a file or folder that the bare loop makes.
type entry struct {
	name string
	size int64 // -1: a folder
}

// list returns what is below dir, folders before what they hold.
func list(dir string) (entries []entry, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			entries = append(entries, entry{name, -1})
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		entries = append(entries, entry{name, info.Size()})
		return nil
	})
	return entries, err
}

// write makes the entry below dir, its content from buffer.
func (e entry) write(dir string, buffer []byte) error {
	name := filepath.Join(dir, e.name)
	if e.size < 0 {
		return os.Mkdir(name, 0o755)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for left := e.size; left > 0 && err == nil; {
		var n int
		n, err = f.Write(buffer[:min(int64(len(buffer)), left)])
		left -= int64(n)
	}
	return errors.Join(err, f.Close())
}
