// Package modules is the standard collection, which the packer carries: its
// shell library, and each module's files.
package modules

import (
	"embed"
	"io/fs"
	"slices"
)

//go:embed lib.sh */*
var files embed.FS

// Library returns the shell library.
func Library() []byte {
	text, err := files.ReadFile("lib.sh")
	if err != nil {
		panic(err) // it was compiled in
	}
	return text
}

// Names returns the names of the standard modules, sorted.
func Names() []string {
	starts, err := fs.Glob(files, "*/start")
	if err != nil {
		panic(err) // only for a bad pattern
	}
	names := make([]string, len(starts))
	for i, start := range starts {
		names[i] = start[:len(start)-len("/start")]
	}
	return names
}

// Module returns the files of a standard module, or nil if there is none of that
// name. A file that begins with #! is executable: an [embed.FS] keeps no modes.
func Module(name string) fs.FS {
	if !slices.Contains(Names(), name) {
		return nil
	}
	module, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // only for a bad name
	}
	return module
}
