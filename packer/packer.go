// Package packer makes start-up bundles: from a personality or a folder of
// modules to one sealed file and its key.
package packer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
	"startup-bundle/modules"
	"startup-bundle/packer/signing"
	"startup-bundle/packer/source"
)

// Options say what to pack and how.
type Options struct {
	Source   string // a personality file or a folder of modules
	Modules  string // a collection to look in first; then modules/ beside the personality or above it, then the standard one
	Output   string // the bundle file; replaced whole or not at all
	Seal     Seal
	SignKey  signature.SecretKey // signs the bundle, where Sign is set
	Sign     bool
	Given    Given                   // options over the personality's
	Locked   bool                    // take modules from elsewhere as they are locked, and change no lock
	Note     func(line string)       // told what is locked anew; may be nil
	Version  string                  // of the packer, for the manifest
	Progress func(done, total int64) // bytes of module content; may be nil
}

// Result says what Pack made.
type Result struct {
	Bundle        string          `json:"bundle"`
	Name          string          `json:"name"`
	Bytes         int64           `json:"bytes"`               // of the bundle file
	SHA256        string          `json:"sha256"`              // of the bundle file, hex
	ContentDigest string          `json:"content_digest"`      // of the tar inside, sha256:hex
	Unpacked      int64           `json:"unpacked_bytes"`      // of all files inside
	Files         int64           `json:"files"`               // entries inside
	Modules       []bundle.Module `json:"modules"`             // in running order, secrets redacted
	KeyFile       string          `json:"key_file"`            // written, if a key was made
	Recipients    []string        `json:"recipients"`          // age public keys it was sealed for
	Format        string          `json:"format"`              // age or openssl
	SignedBy      string          `json:"signed_by,omitempty"` // id of the key; empty: unsigned
}

// Pack makes a bundle:
//
//  1. settle the key, and see that the bundle has a place: mistakes are told first
//  2. read the personality, find its modules, resolve their options
//  3. read every file once, for the digests that the manifest holds
//  4. write archive → compression → encryption → a temporary file
//  5. write the key file, give the bundle its name
//
// When it fails, no bundle and no key file is left behind, and one that was
// there before is as it was.
func Pack(ctx context.Context, o Options) (*Result, error) {
	if o.Sign && o.Seal.Format == FormatOpenSSL {
		return nil, errors.New("a bundle of openssl's format cannot be signed: its option files are not covered by bundle.json; leave out --sign-key, or --format openssl")
	}
	key, err := o.Seal.settle()
	if err != nil {
		return nil, err
	}
	if err := writable(o.Output); err != nil {
		return nil, err
	}
	plan, err := Plan(ctx, o)
	if err != nil {
		return nil, err
	}
	archive := plan.archive(o.Version, o.Seal.Format)
	signedBy := ""
	if o.Sign {
		archive.Sign, signedBy = o.SignKey.Sign, o.SignKey.ID()
	}
	if archive.ModTime, err = SourceDateEpoch(); err != nil {
		return nil, err
	}
	out, err := newOutput(o.Output)
	if err != nil {
		return nil, err
	}
	defer out.abandon()
	sealed, err := key.seal(out)
	if err != nil {
		return nil, err
	}
	content, err := archive.Write(&meter{ctx: ctx, w: sealed, total: plan.bytes(), report: o.Progress})
	if err != nil {
		return nil, err
	}
	if err := sealed.Close(); err != nil {
		return nil, fmt.Errorf("seal bundle: %w", err)
	}
	if err := key.save(); err != nil {
		return nil, err
	}
	if err := out.commit(); err != nil {
		return nil, key.unsave(err)
	}
	return &Result{
		Bundle: o.Output, Name: plan.Personality.Name, Bytes: out.n, SHA256: out.sum(), ContentDigest: content,
		Unpacked: archive.Manifest.Bytes, Files: archive.Manifest.Files, Modules: redact(archive.Manifest.Modules),
		KeyFile: key.file, Recipients: key.recipients, Format: key.format, SignedBy: signedBy,
	}, nil
}

// Planned is a personality with its modules found, read and checked.
type Planned struct {
	Personality Personality
	Modules     []PlannedModule
	Lib         []byte // the shell library, the collection's own or the standard one; nil: none needs it
}

// PlannedModule is one module that will be packed.
type PlannedModule struct {
	bundle.Module
	Tree *bundle.Tree
}

// Plan reads a personality or a folder of modules, and all their files; of the
// options, those that say which. It locks what is not locked yet.
func Plan(ctx context.Context, o Options) (*Planned, error) {
	p, finder, err := load(o.Source, o.Modules)
	if err != nil {
		return nil, err
	}
	finder.Frozen, finder.Note = o.Locked, o.Note
	plan := &Planned{Personality: p}
	if plan.Lib, err = source.Lib(finder.Collections...); err != nil {
		return nil, err
	}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, use := range p.Modules {
		m, err := planModule(ctx, use, finder, keys, o.Given)
		if err != nil {
			return nil, err
		}
		if taken[m.Name] {
			return nil, fmt.Errorf("module %s is there twice: give the second another name by as", m.Name)
		}
		taken[m.Name] = true
		plan.Modules = append(plan.Modules, m)
	}
	if err := o.Given.check(plan.Modules); err != nil {
		return nil, err
	}
	if plan.Lib == nil && slices.ContainsFunc(plan.Modules, func(m PlannedModule) bool { return usesLib(m.Tree) }) {
		plan.Lib = modules.Library()
	}
	return plan, finder.Finish()
}

// usesLib reports whether a module's scripts name the shell library.
func usesLib(t *bundle.Tree) bool {
	for _, name := range []string{module.Start, module.Check} {
		text, err := os.ReadFile(filepath.Join(t.Dir, name))
		if err == nil && bytes.Contains(text, []byte("STARTUP_LIB")) {
			return true
		}
	}
	return false
}

// archive lays the plan out. For the shell recipe, which runs folders in the
// order of their names, the folders are numbered where that order is another.
func (p *Planned) archive(version, format string) *bundle.Archive {
	a := &bundle.Archive{
		Manifest: bundle.Manifest{Name: p.Personality.Name, Packer: version, OnFailure: p.Personality.OnFailure},
		Trees:    map[string]*bundle.Tree{},
		Lib:      p.Lib,
		ShellEnv: format == FormatOpenSSL,
	}
	number := format == FormatOpenSSL && !p.sorted()
	for i, m := range p.Modules {
		if number {
			m.Dir = fmt.Sprintf("%0*d-%s", len(strconv.Itoa(len(p.Modules))), i+1, m.Name)
		}
		a.Manifest.Modules = append(a.Manifest.Modules, m.Module)
		a.Trees[m.Folder()] = m.Tree
	}
	return a
}

func (p *Planned) sorted() bool {
	for i := 1; i < len(p.Modules); i++ {
		if p.Modules[i-1].Name > p.Modules[i].Name {
			return false
		}
	}
	return true
}

func (p *Planned) bytes() (n int64) {
	for _, m := range p.Modules {
		n += m.Tree.Bytes
	}
	return n
}

// SourceDateEpoch reads the time that reproducible builds give everything from the
// environment, https://reproducible-builds.org/specs/source-date-epoch/; zero where
// there is none.
func SourceDateEpoch() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("read SOURCE_DATE_EPOCH: %q is not a number of seconds", text)
	}
	return time.Unix(seconds, 0), nil
}

// redact returns modules with the values of secret options hidden.
func redact(modules []bundle.Module) []bundle.Module {
	shown := slices.Clone(modules)
	for i, m := range shown {
		shown[i].Env = maps.Clone(m.Env)
		for _, name := range m.Secret {
			shown[i].Env[name] = secret.Redacted
		}
	}
	return shown
}

func planModule(ctx context.Context, use Use, finder *source.Finder, keys signature.Keys, given Given) (PlannedModule, error) {
	found, err := finder.Find(ctx, use.Module)
	if err != nil {
		return PlannedModule{}, err
	}
	dir, name := found.Dir, found.Name
	m := bundle.Module{Name: name}
	if found.Remote != nil {
		m.Source = found.Remote.Origin()
	}
	if use.As != "" {
		m.Name, m.Uses = use.As, name
	}
	if err := module.CheckName(m.Name); err != nil {
		return PlannedModule{}, fmt.Errorf("%s: %w", dir, err)
	}
	spec, err := source.Spec(dir)
	if err != nil {
		return PlannedModule{}, fmt.Errorf("module %s: %w", name, err)
	}
	m.Version, m.Run, m.Timeout = spec.Version, spec.Run, spec.Timeout
	if m.Env, m.Secret, err = spec.Resolve(given.over(m.Name, use.Options)); err != nil {
		return PlannedModule{}, fmt.Errorf("module %s: %w", m.Name, err)
	}
	tree, err := bundle.Scan(ctx, dir)
	if err != nil {
		return PlannedModule{}, fmt.Errorf("module %s: %w", m.Name, err)
	}
	if keys != nil { // what is the user's own may be unsigned
		m.SignedBy, err = signing.VerifyModule(ctx, dir, name, keys)
		if err != nil && (found.Remote != nil || !errors.Is(err, signature.ErrUnsigned)) {
			return PlannedModule{}, err
		}
	}
	return PlannedModule{Module: m, Tree: tree}, nil
}
