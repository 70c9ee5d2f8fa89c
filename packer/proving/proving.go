// Package proving boots a module, or a personality, on a throw-away machine: a
// container with its own systemd over a freshly made root, in which the real
// agent runs it, checks it, and runs it again to see that nothing changes.
//
// The machine has a network of its own with nothing in it but a loopback
// interface and, on that, what an instance finds: the bundle behind a URL, a
// stand-in for instance metadata that names it, and a proxy to the package
// servers. Neither this machine's loopback nor any real metadata service can be
// reached from it.
package proving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"startup-bundle/internal/module"
)

// Options say what to prove and where.
type Options struct {
	Source  string                   // a module's folder or a personality file
	Given   map[string]module.Scalar // options of the module, over those of its test.yaml
	Modules string                   // the collection of a personality; empty: found as by packer.Pack
	Base    string                   // one of Bases; not used when Image is set
	Image   string                   // the root folder of another system, left as it is
	Agent   string                   // a static agent program; empty: startup-agent beside this program, else in PATH
	Keep    bool                     // leave the machine up until ctx ends
	// Timeline is a file for the picture of the first run; empty: none.
	Timeline string
	Version  string
	Stderr   io.Writer // what is done, and the logs of what failed
}

// The results of a proof.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped" // every module says that it is not for this system
)

// Result is what became of one Source on one machine.
type Result struct {
	Source  string   `json:"source"`
	Base    string   `json:"base"` // the base, or the image's path
	Result  string   `json:"result"`
	Reason  string   `json:"reason,omitempty"` // why it failed
	Boot    float64  `json:"boot_seconds"`
	Start   float64  `json:"start_seconds"` // of all start scripts, first run
	Again   float64  `json:"again_seconds"` // and second run
	Disk    int64    `json:"disk_bytes"`    // what the first run added, but for package lists and caches
	Modules []Module `json:"modules"`
}

// Module is what became of one module.
type Module struct {
	Name    string  `json:"name"`
	State   string  `json:"state"` // of the second run, as the agent records it
	Start   float64 `json:"start_seconds"`
	Again   float64 `json:"again_seconds"`
	Check   string  `json:"check"`             // as startup-agent check says it
	Changes *int    `json:"changes,omitempty"` // counted by the second start; nil: it does not count
}

// Run proves one source:
//
//  1. see that this machine can, and read what the modules need of theirs
//  2. pack, and put the agent on a fresh machine
//  3. boot it, with the bundle, metadata and packages within reach
//  4. startup-agent run, check, run --force
//  5. read the record and the logs: every start and check good, no change the
//     second time
//  6. stop the machine and remove every trace of it
//
// What the modules do wrong is in the Result; the error is for what kept them
// from being tried.
func Run(ctx context.Context, o Options) (result Result, err error) {
	subject, err := readSubject(ctx, o)
	if err != nil {
		return Result{}, err
	}
	// what is put on the machine must be readable there, whatever the caller's habit
	defer syscall.Umask(syscall.Umask(0o022))
	result = Result{Source: subject.name, Base: o.system(), Modules: []Module{}}
	if err := o.able(subject.needs); err != nil {
		return result, err
	}
	lower, err := o.root(ctx)
	if err != nil {
		return result, err
	}
	m, err := newMachine(lower, o.cache(), subject.needs)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, m.remove()) }()
	if err := o.furnish(ctx, m, subject); err != nil {
		return result, err
	}
	began := time.Now()
	if err := m.boot(ctx); err != nil {
		return result, err
	}
	result.Boot = time.Since(began).Seconds()
	if err := prove(ctx, m, o, &result); err != nil {
		return result, err
	}
	if o.Keep {
		fmt.Fprintf(o.Stderr, "%s: %s, and kept up. Look inside:  %s\nStop and remove it:  Ctrl-C here, or kill %d\n", result.Source, result.Result, m.enterCommand(), os.Getpid())
		<-ctx.Done()
	}
	return result, nil
}

func (o Options) note(line string) { fmt.Fprintln(o.Stderr, line) }

func (o Options) system() string {
	if o.Image != "" {
		return o.Image
	}
	return o.Base
}

// cache is where roots, packages and the running machines lie.
func (o Options) cache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "/var/cache"
	}
	return filepath.Join(dir, "startup-packer")
}
