package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"startup-bundle/internal/files"
)

func (p Paths) trust() files.Trust { return files.Trust{Root: p.Root} }

// TrustState refuses a record, a bundle or an environment that somebody else than the
// agent could have written: what they say runs as root.
func TrustState(p Paths) error {
	for _, path := range []string{p.Record(), p.Bundle(), p.Env()} {
		if err := p.trust().Check(path); err != nil {
			return fail(CodeRecord, "%w; or forget it with startup-agent reset", err)
		}
	}
	return nil
}

// Untrusted returns what in an image others than root could change: the folders and
// files of its owner, and the state folder. The image may be looked at from outside.
func Untrusted(p Paths) ([]*files.UntrustedError, error) {
	trust := files.Trust{Root: p.Root, Confined: true}
	paths := []string{p.State(), p.Config()}
	for _, dir := range []string{p.Config(), p.Hooks(), p.Heartbeats()} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look into %s: %w", dir, err)
		}
		for _, e := range entries {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	var found []*files.UntrustedError
	told := map[string]bool{}
	for _, path := range paths {
		var untrusted *files.UntrustedError
		switch err := trust.Check(path); {
		case errors.As(err, &untrusted):
			if !told[untrusted.Path] {
				told[untrusted.Path] = true
				found = append(found, untrusted)
			}
		case err != nil:
			return found, err
		}
	}
	return found, nil
}
