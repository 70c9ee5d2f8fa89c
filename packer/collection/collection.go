// Package collection looks after a folder of modules: makes new ones, lists
// them, and keeps their documentation in step with what they declare.
package collection

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/modules"
	"startup-bundle/packer/source"
)

// Entry is one module of a collection.
type Entry struct {
	Name     string `json:"name"`
	Dir      string `json:"dir"`
	HasCheck bool   `json:"has_check"`
	module.Spec
	Tried    []string `json:"tried,omitempty"`    // the lines below "## Tried" of its README
	Standard bool     `json:"standard,omitempty"` // this program carries it
}

// ListAll reads the modules that a name can stand for: those of the collections,
// then the standard ones. A module hides those of its name further back.
func ListAll(folders source.Folders) ([]Entry, error) {
	var all []Entry
	listed := map[string]bool{}
	for _, dir := range folders.Collections {
		entries, err := List(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !listed[e.Name] {
				listed[e.Name] = true
				all = append(all, e)
			}
		}
	}
	for _, name := range modules.Names() {
		if listed[name] {
			continue
		}
		dir, err := folders.Named(name)
		if err != nil {
			return nil, err
		}
		e, err := Read(dir)
		if err != nil {
			return nil, err
		}
		e.Standard = true
		all = append(all, e)
	}
	return all, nil
}

// List reads every module in a folder, in the order of their names.
func List(dir string) ([]Entry, error) {
	names, err := source.All(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		e, err := Read(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Read reads one module's folder.
func Read(dir string) (Entry, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: filepath.Base(abs), Dir: dir}
	if e.Spec, err = source.Spec(dir); err != nil {
		return e, fmt.Errorf("module %s: %w", e.Name, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, module.Check)); err == nil {
		e.HasCheck = true
	}
	readme, err := os.ReadFile(filepath.Join(dir, module.ReadmeFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, err
	}
	e.Tried = section(string(readme), "## Tried")
	return e, nil
}

// section returns the list items below a heading, without their marks.
func section(text, heading string) []string {
	var items []string
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			inside = line == heading
		case inside && strings.HasPrefix(line, "- "):
			items = append(items, strings.TrimPrefix(line, "- "))
		}
	}
	return items
}

//go:embed skeleton
var skeleton embed.FS

// New makes the folder of a new module below dir, ready to pack, run and test.
// The folder must not exist; when New fails it does not afterwards either.
func New(dir, name string) (path string, err error) {
	if err := module.CheckName(name); err != nil {
		return "", err
	}
	path = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}()
	for file, mode := range map[string]fs.FileMode{
		module.Start: 0o755, module.Check: 0o755, module.SpecFile: 0o644, module.ReadmeFile: 0o644,
	} {
		text, err := skeleton.ReadFile("skeleton/" + file + ".tmpl")
		if err != nil {
			return "", err
		}
		out := filepath.Join(path, file)
		if err := os.WriteFile(out, []byte(strings.ReplaceAll(string(text), "NAME", name)), mode); err != nil {
			return "", err
		}
	}
	_, err = UpdateReadme(path)
	return path, err
}
