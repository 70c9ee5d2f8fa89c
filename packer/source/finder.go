package source

import (
	"context"
	"fmt"
	"slices"
)

// Finder finds the modules of one personality: folders on this machine, and what
// its lock pins of other places.
type Finder struct {
	Folders
	Lock   *Lock             // of the personality; nil: nothing can be locked
	Frozen bool              // resolve nothing and change nothing: what is not locked is an error
	Note   func(line string) // told what is locked anew; may be nil

	depot *Depot
	used  []string
}

// Found is a module's folder. It is to be read, not to be changed.
type Found struct {
	Dir    string
	Name   string
	Remote *Locked // where it comes from; nil: it is the user's own
}

// Find returns the module of a reference, a name or a folder.
func (f *Finder) Find(ctx context.Context, text string) (Found, error) {
	if !IsRemote(text) {
		dir, name, err := f.Locate(text)
		return Found{Dir: dir, Name: name}, err
	}
	r, err := ParseReference(text)
	if err != nil {
		return Found{}, err
	}
	if f.Lock == nil {
		return Found{}, fmt.Errorf("%s: only a personality file can have modules from elsewhere: its lock says what they are", r)
	}
	if f.depot == nil {
		if f.depot, err = NewDepot(); err != nil {
			return Found{}, err
		}
	}
	f.used = append(f.used, text)
	locked, ok := f.Lock.Find(text)
	switch {
	case !ok && f.Frozen:
		return Found{}, fmt.Errorf("%w %s does not have module %s from %s: run startup-packer pack without --locked, or startup-packer module add, and keep the file", ErrLock, f.Lock.path, r.Name, r)
	case !ok:
		if locked, _, err = f.depot.Resolve(ctx, r); err != nil {
			return Found{}, err
		}
		f.Lock.Set(locked)
		if f.Note != nil {
			f.Note(fmt.Sprintf("locked %s %s: %s is %s", locked.Name, locked.Version, r, locked.Resolved))
		}
	}
	dir, err := f.depot.Module(ctx, r, locked)
	if err != nil {
		return Found{}, err
	}
	return Found{Dir: dir, Name: locked.Name, Remote: &locked}, nil
}

// Finish writes the lock of what was found, once all of a personality was. What the
// personality does not name any more leaves it.
func (f *Finder) Finish() error {
	if f.Lock == nil {
		return nil
	}
	if f.Frozen {
		for _, m := range f.Lock.Modules {
			if !slices.Contains(f.used, m.Source) {
				return fmt.Errorf("%w %s has module %s, which the personality does not name any more: run startup-packer pack without --locked, and keep the file", ErrLock, f.Lock.path, m.Name)
			}
		}
		return nil
	}
	f.Lock.Keep(f.used)
	return f.Lock.Write()
}
