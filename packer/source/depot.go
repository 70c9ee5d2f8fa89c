package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"startup-bundle/internal/bundle"
	"startup-bundle/packer/registry"
)

// Depot brings modules in from elsewhere, and keeps them in a folder by the digests
// of their trees. Several programs may use one folder at a time.
type Depot struct {
	dir     string
	origins map[string]origin
}

// origin is one kind of place.
type origin interface {
	// resolve says what a reference stands for now, all but its tree.
	resolve(ctx context.Context, r Reference) (resolution, error)
	// fetch makes the new folder dest of what was resolved.
	fetch(ctx context.Context, r Reference, resolved, dest string) error
}

// resolution is what a reference stands for now.
type resolution struct {
	resolved string // a digest or a commit
	name     string
	fixed    bool // it is named by a release or a tag, which should never move
}

// ErrDrift means that something is not what it was locked to be.
var ErrDrift = errors.New("it is not what it was")

// NewDepot returns a depot that keeps modules in the user's cache.
func NewDepot() (*Depot, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find a place to keep modules in: %w", err)
	}
	return &Depot{
		dir: filepath.Join(dir, "startup-packer", "modules"),
		origins: map[string]origin{
			originOCI: oci{registry.New(registry.Options{})}, originGit: git{}, originArchive: archive{},
		},
	}, nil
}

// Resolve asks what a reference stands for now, and fetches that. fixed is as that
// of a release or a tag: it should never stand for anything else.
func (d *Depot) Resolve(ctx context.Context, r Reference) (found Locked, fixed bool, err error) {
	now, err := d.origins[r.origin].resolve(ctx, r)
	if err != nil {
		return Locked{}, false, err
	}
	found = Locked{Source: r.Text, Name: now.name, Resolved: now.resolved}
	tree, err := d.bring(ctx, r, &found)
	if err != nil {
		return Locked{}, false, err
	}
	found.Tree = tree
	spec, err := Spec(d.path(tree))
	if err != nil {
		return Locked{}, false, fmt.Errorf("module %s from %s: %w", found.Name, r, err)
	}
	found.Version = spec.Version
	return found, now.fixed, nil
}

// Module returns the folder of a locked module, from the depot or from where it
// came. Its files are those that were locked, or it is ErrDrift.
func (d *Depot) Module(ctx context.Context, r Reference, m Locked) (dir string, err error) {
	dir = d.path(m.Tree)
	tree, err := bundle.Scan(ctx, dir)
	switch {
	case err == nil && tree.Digest() == m.Tree:
		return dir, nil
	case err == nil: // somebody wrote into it: what is locked is fetched again
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	_, err = d.bring(ctx, r, &m)
	return dir, err
}

// bring fetches what m resolved to, and keeps it. It returns the tree digest.
func (d *Depot) bring(ctx context.Context, r Reference, m *Locked) (string, error) {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(d.dir, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	dir := filepath.Join(work, "module")
	if err := d.origins[r.origin].fetch(ctx, r, m.Resolved, dir); err != nil {
		return "", fmt.Errorf("module %s from %s: %w", m.Name, r, err)
	}
	tree, err := bundle.Scan(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("module %s from %s: %w", m.Name, r, err)
	}
	found := tree.Digest()
	if m.Tree != "" && m.Tree != found {
		return "", fmt.Errorf("module %s from %s: %w: its files are %s and were locked as %s; if that is meant, startup-packer module update shows what changed", m.Name, r, ErrDrift, found, m.Tree)
	}
	if err := isModule(dir); err != nil {
		return "", fmt.Errorf("module %s from %s: %w", m.Name, r, err)
	}
	// Another program may have brought the same.
	if err := os.Rename(dir, d.path(found)); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, statErr := os.Stat(d.path(found)); statErr != nil {
			return "", err
		}
	}
	return found, nil
}

func (d *Depot) path(tree string) string {
	return filepath.Join(d.dir, strings.Replace(tree, ":", "-", 1))
}
