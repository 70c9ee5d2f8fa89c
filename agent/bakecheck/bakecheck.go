// Package bakecheck looks for what must not be, or must be, in a machine image
// before it is made: an image whose agent has a past would carry its secrets to
// every instance, and one without its unit enabled would start as nothing.
package bakecheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"startup-bundle/agent"
	"startup-bundle/internal/files"
	"startup-bundle/internal/terminal"
)

// Finding is one thing that is wrong with the image.
type Finding struct {
	What string // with the path where there is one, relative to the root
	Do   string // the remedy, a command where there is one
}

const (
	// The certificates that instances meet are valid between these. A clock
	// outside makes every https URL fail, and the files of the image look absurd.
	firstYear = 2026
	lastYear  = 2100
)

// Check returns what is wrong with the image below paths.Root, whose builder's
// clock says now. The error is for what could not be looked at.
func Check(paths agent.Paths, now time.Time) ([]Finding, error) {
	root, err := os.OpenRoot(paths.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	c := &check{root: root, paths: paths}
	c.state()
	c.logs()
	c.copies()
	c.unit()
	c.hooks()
	c.certificates()
	untrusted, err := agent.Untrusted(paths)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%w: run bake-check as root", err))
	}
	for _, u := range untrusted {
		c.found(u.Path+" is not to be trusted: "+u.Why, u.Cure)
	}
	var told *files.UntrustedError
	if _, enforced, err := agent.LoadVerifyKeys(paths); enforced && err != nil && !errors.As(err, &told) {
		c.found(err.Error(), "write public keys of startup-packer keygen --signing there, one per line, mode 0644")
	}
	if year := now.UTC().Year(); year < firstYear || year > lastYear {
		c.found(fmt.Sprintf("the clock says %s", now.UTC().Format(time.RFC3339)), "set it: install and start chrony or systemd-timesyncd")
	}
	return c.findings, errors.Join(c.errs...)
}

// check collects findings. Paths within root are relative and have no link that
// leads out of it: an image may be looked at from outside.
type check struct {
	root     *os.Root
	paths    agent.Paths
	findings []Finding
	errs     []error
}

func (c *check) found(what, do string) { c.findings = append(c.findings, Finding{what, do}) }

// reset is the command that forgets a run, of this image and of no other machine.
func (c *check) reset() string {
	command := "startup-agent reset --all --yes"
	if c.paths.Root != "/" {
		command += " --root " + terminal.Quote(c.paths.Root)
	}
	return command
}

// rel returns a path of the agent's relative to the root.
func (c *check) rel(path string) string {
	rel, err := filepath.Rel(c.paths.Root, path)
	if err != nil {
		c.errs = append(c.errs, err)
	}
	return rel
}

// state finds whatever the agent keeps of a run: all but its empty lock.
func (c *check) state() {
	what := map[string]string{
		c.paths.Record(): "the record of a run", c.paths.Bundle(): "an unpacked bundle",
		c.paths.Env():          "the environment of a run, which may hold secrets",
		c.paths.ModuleStates(): "state of modules",
	}
	for _, entry := range c.list(c.rel(c.paths.State())) {
		path := filepath.Join(c.paths.State(), entry.Name())
		if path == c.paths.Lock() {
			continue
		}
		name := what[path]
		if name == "" {
			name = "state of the agent"
		}
		c.found(name+" is left: /"+c.rel(path), c.reset())
	}
	if status := c.rel(c.paths.Status()); c.exists(status) {
		c.found("the status of a run is left: /"+status, c.reset())
	}
}

// logs finds log files: they say what modules printed.
func (c *check) logs() {
	if entries := c.list(c.rel(c.paths.Logs())); len(entries) > 0 {
		c.found("logs are left: /"+c.rel(c.paths.Logs())+"/"+entries[0].Name(), c.reset())
	}
}

// list returns what is in a folder, nothing where there is none.
func (c *check) list(dir string) []fs.DirEntry {
	entries, err := fs.ReadDir(c.root.FS(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.errs = append(c.errs, fmt.Errorf("look into /%s: %w: run bake-check as root", dir, err))
	}
	return entries
}

// exists reports whether something is there, if only a link that leads nowhere.
func (c *check) exists(path string) bool {
	_, err := c.root.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.errs = append(c.errs, fmt.Errorf("look at /%s: %w: run bake-check as root", path, err))
	}
	return err == nil
}
