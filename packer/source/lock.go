package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/internal/strictyaml"
)

const (
	lockVersion = 1
	maxLock     = 256 << 10 // some 900 modules
	lockHeader  = "# What the personality's modules are, exactly. startup-packer writes it; keep it with\n# the personality, and change it with startup-packer module update.\n"
)

// Locked is what a reference stood for when it was locked.
type Locked struct {
	Source   string `yaml:"source"`            // the reference, as the personality has it
	Name     string `yaml:"name"`              // of the module
	Version  string `yaml:"version,omitempty"` // from its module.yaml
	Resolved string `yaml:"resolved"`          // sha256:… of a manifest or an archive; a commit
	Tree     string `yaml:"tree"`              // the tree digest of its folder
}

// Origin returns where it comes from, exactly, without what may be a secret.
func (m Locked) Origin() string {
	r, err := ParseReference(m.Source)
	if err != nil {
		return m.Resolved
	}
	return r.String() + " " + m.Resolved
}

// Lock pins the references of one personality. The zero value is an empty one.
type Lock struct {
	path    string
	Modules []Locked
	changed bool
}

// ErrLock means that a lock cannot be read, or does not hold what is asked of it.
var ErrLock = errors.New("the lock")

var (
	treeForm     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	resolvedForm = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{64})$`)
)

// LockFile returns the lock's name for a personality: web.yaml has web.lock.
func LockFile(personality string) string {
	return strings.TrimSuffix(personality, filepath.Ext(personality)) + ".lock"
}

// ReadLock reads a lock strictly; a file that is not there is an empty one.
func ReadLock(path string) (*Lock, error) {
	l := &Lock{path: path}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLock+1))
	if err != nil {
		return nil, err
	}
	if l.Modules, err = parseLock(text); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrLock, path, err)
	}
	return l, nil
}

type lockFile struct {
	Version int      `yaml:"version"`
	Modules []Locked `yaml:"modules"`
}

func parseLock(text []byte) ([]Locked, error) {
	var file lockFile
	if err := strictyaml.Decode(text, maxLock, &file); err != nil {
		return nil, err
	}
	if file.Version != lockVersion {
		return nil, fmt.Errorf("its version is %d and this program reads %d", file.Version, lockVersion)
	}
	seen := map[string]bool{}
	for _, m := range file.Modules {
		r, err := ParseReference(m.Source)
		switch {
		case err != nil:
			return nil, err
		case seen[m.Source]:
			return nil, fmt.Errorf("%s is there twice", r)
		case !resolvedForm.MatchString(m.Resolved) || !treeForm.MatchString(m.Tree):
			return nil, fmt.Errorf("%s: resolved and tree are digests", r)
		case module.CheckName(m.Name) != nil:
			return nil, fmt.Errorf("%s: %w", r, module.CheckName(m.Name))
		case r.origin != originOCI && m.Name != r.Name:
			return nil, fmt.Errorf("%s: it is called %s, and its reference says %s", r, m.Name, r.Name)
		}
		seen[m.Source] = true
	}
	return file.Modules, nil
}

// Find returns what a reference is locked to.
func (l *Lock) Find(reference string) (Locked, bool) {
	i := slices.IndexFunc(l.Modules, func(m Locked) bool { return m.Source == reference })
	if i < 0 {
		return Locked{}, false
	}
	return l.Modules[i], true
}

// Set locks a reference, in the place of what it was locked to.
func (l *Lock) Set(m Locked) {
	l.changed = true
	l.Modules = slices.DeleteFunc(l.Modules, func(o Locked) bool { return o.Source == m.Source })
	l.Modules = append(l.Modules, m)
}

// Keep drops what is locked and not among references.
func (l *Lock) Keep(references []string) {
	before := len(l.Modules)
	l.Modules = slices.DeleteFunc(l.Modules, func(m Locked) bool { return !slices.Contains(references, m.Source) })
	l.changed = l.changed || len(l.Modules) != before
}

// Write replaces the file whole, where anything has changed. A lock of nothing is
// no file.
func (l *Lock) Write() error {
	if !l.changed {
		return nil
	}
	slices.SortFunc(l.Modules, func(a, b Locked) int { return strings.Compare(a.Source, b.Source) })
	if len(l.Modules) == 0 {
		if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.changed = false
		return nil
	}
	text, err := strictyaml.Marshal(lockFile{lockVersion, l.Modules})
	if err != nil {
		return fmt.Errorf("write %s: %w", l.path, err)
	}
	if err := ReplaceFile(l.path, append([]byte(lockHeader), text...)); err != nil {
		return err
	}
	l.changed = false
	return nil
}

// ReplaceFile writes a file whole or not at all, with the mode of the one it
// replaces.
func ReplaceFile(path string, text []byte) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
