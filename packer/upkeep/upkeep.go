// Package upkeep keeps the modules that a personality has from elsewhere: it adds
// them, brings them up to date, and copies them in.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/packer"
	"startup-bundle/packer/source"
)

// File is a personality, its lock, and where its modules come from.
type File struct {
	path  string
	text  []byte
	p     packer.Personality
	lock  *source.Lock
	depot *source.Depot
}

// maxPersonality is the largest personality file, in bytes.
const maxPersonality = 256 << 10

// Open reads a personality and its lock. An empty path means the only .yaml file of
// this folder.
func Open(path string) (*File, error) {
	if path == "" {
		found, err := filepath.Glob("*.yaml")
		if err != nil || len(found) != 1 {
			return nil, errors.New("which personality? Name the file with --personality")
		}
		path = found[0]
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPersonality {
		return nil, fmt.Errorf("%s is no file of at most %d bytes: is it a personality?", path, maxPersonality)
	}
	f := &File{path: path}
	if f.text, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	if f.p, err = packer.ParsePersonality(f.text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if f.lock, err = source.ReadLock(source.LockFile(path)); err != nil {
		return nil, err
	}
	f.depot, err = source.NewDepot()
	return f, err
}

// Path returns the personality's file.
func (f *File) Path() string { return f.path }

// Add puts a module at the end of the list, under the name as if that is set, and
// locks it.
func (f *File) Add(ctx context.Context, reference, as string) (source.Locked, error) {
	r, err := source.ParseReference(reference)
	if err != nil {
		return source.Locked{}, err
	}
	locked, ok := f.lock.Find(reference)
	if !ok {
		if locked, _, err = f.depot.Resolve(ctx, r); err != nil {
			return source.Locked{}, err
		}
	}
	name := locked.Name
	if as != "" {
		name = as
	}
	if err := module.CheckName(name); err != nil {
		return source.Locked{}, err
	}
	for _, use := range f.p.Modules {
		if f.nameOf(use) == name {
			return source.Locked{}, fmt.Errorf("%s has a module %s already: give this one another name with --as", f.path, name)
		}
	}
	text, err := appended(f.text, packer.Use{Module: reference, As: as})
	if err != nil {
		return source.Locked{}, fmt.Errorf("%s: %w", f.path, err)
	}
	f.lock.Set(locked)
	return locked, f.save(text)
}

// nameOf returns the name that a module has in the bundle.
func (f *File) nameOf(use packer.Use) string {
	if use.As != "" {
		return use.As
	}
	if m, ok := f.lock.Find(use.Module); ok {
		return m.Name
	}
	if r, err := source.ParseReference(use.Module); err == nil {
		return r.Name
	}
	return filepath.Base(use.Module)
}

// save writes lock and personality, in this order: what is locked and not named
// does no harm.
func (f *File) save(text []byte) error {
	if err := f.lock.Write(); err != nil {
		return err
	}
	if slices.Equal(text, f.text) {
		return nil
	}
	if err := source.ReplaceFile(f.path, text); err != nil {
		return err
	}
	f.text = text
	return nil
}

// Change is what a reference stood for and stands for now.
type Change struct {
	Old, New source.Locked
	Moved    bool // a release or a tag, which should never move, did
	Diff     string
}

// Outdated asks what the named modules (none: all) stand for now, and returns those
// that are something else than what is locked. Nothing is changed.
func (f *File) Outdated(ctx context.Context, names []string) ([]Change, error) {
	var changes []Change
	chosen, err := f.chosen(names)
	if err != nil {
		return nil, err
	}
	for _, old := range chosen {
		r, err := source.ParseReference(old.Source)
		if err != nil {
			return nil, err
		}
		now, fixed, err := f.depot.Resolve(ctx, r)
		if err != nil {
			return nil, err
		}
		if now.Resolved == old.Resolved && now.Tree == old.Tree {
			continue
		}
		before, err := f.depot.Module(ctx, r, old)
		if err != nil {
			before = "" // what was locked is nowhere any more: all of it is new
		}
		after, err := f.depot.Module(ctx, r, now)
		if err != nil {
			return nil, err
		}
		diff, err := compare(ctx, before, after)
		if err != nil {
			return nil, err
		}
		changes = append(changes, Change{old, now, fixed, diff})
	}
	return changes, nil
}

// Update locks what Outdated has found.
func (f *File) Update(changes []Change) error {
	for _, c := range changes {
		f.lock.Set(c.New)
	}
	return f.lock.Write()
}

// Vendor copies the named modules (none: all) into folders of dir and has the
// personality name these. It returns the folders.
func (f *File) Vendor(ctx context.Context, names []string, dir string) ([]string, error) {
	chosen, err := f.chosen(names)
	if err != nil {
		return nil, err
	}
	text := f.text
	var made []string
	keep := []string{}
	for _, m := range chosen {
		to := filepath.Join(dir, m.Name)
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is there already: remove it, or vendor into another folder with --to", to)
		}
		rel, err := filepath.Rel(filepath.Dir(f.path), to)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(rel, "../") {
			rel = "./" + rel
		}
		if text, err = replaced(text, m.Source, rel); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		made = append(made, to)
	}
	for i, m := range chosen {
		if err := f.copy(ctx, m, made[i]); err != nil {
			for _, to := range made[:i+1] {
				err = errors.Join(err, os.RemoveAll(to))
			}
			return nil, err
		}
	}
	for _, m := range f.lock.Modules {
		if !slices.Contains(chosen, m) {
			keep = append(keep, m.Source)
		}
	}
	f.lock.Keep(keep)
	return made, f.save(text)
}

func (f *File) copy(ctx context.Context, m source.Locked, to string) error {
	r, err := source.ParseReference(m.Source)
	if err != nil {
		return err
	}
	from, err := f.depot.Module(ctx, r, m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("copy module %s: %w", m.Name, err)
	}
	tree, err := bundle.Scan(ctx, to)
	if err != nil {
		return err
	}
	if tree.Digest() != m.Tree {
		return fmt.Errorf("copy module %s: %w: the copy is %s and should be %s", m.Name, source.ErrDrift, tree.Digest(), m.Tree)
	}
	return nil
}

// chosen returns what is locked of the named modules; of none, all.
func (f *File) chosen(names []string) ([]source.Locked, error) {
	if len(names) == 0 {
		return slices.Clone(f.lock.Modules), nil
	}
	var chosen []source.Locked
	for _, name := range names {
		before := len(chosen)
		for _, m := range f.lock.Modules {
			if m.Name == name || m.Source == name {
				chosen = append(chosen, m)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("the lock of %s has no module %s", f.path, name)
		}
	}
	return chosen, nil
}
