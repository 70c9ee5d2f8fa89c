package packer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/internal/signature"
	"startup-bundle/internal/strictyaml"
	"startup-bundle/packer/source"
)

// Personality is the packer's input: which modules, in which order, with which
// options.
type Personality struct {
	Name      string `yaml:"name"`
	Modules   []Use  `yaml:"modules"`
	OnFailure string `yaml:"on_failure"` // stop (default) or continue

	// TrustedKeys are public keys of minisign. Where there are any, a module that
	// carries a signature is packed only if one of them made it.
	TrustedKeys []string `yaml:"trusted_keys"`
}

// Use is one module of a personality.
type Use struct {
	Module  string                   `yaml:"use"`
	As      string                   `yaml:"as"` // its name in the bundle, where it is not the module's
	Options map[string]module.Scalar `yaml:"options"`
}

// UnmarshalText takes a plain module name in the place of the fields.
func (u *Use) UnmarshalText(name []byte) error {
	*u = Use{Module: string(name)}
	return nil
}

const maxPersonality = 256 << 10

// numbered is a folder's name in a collection that is ordered by its names.
var numbered = regexp.MustCompile(`^[0-9]+[-_.]([a-z][a-z0-9-]*)$`)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ParsePersonality reads a personality strictly. Its error names line and column.
func ParsePersonality(text []byte) (Personality, error) {
	var p Personality
	if err := strictyaml.Decode(text, maxPersonality, &p); err != nil {
		return p, err
	}
	switch {
	case !nameForm.MatchString(p.Name):
		return p, fmt.Errorf("name: %q: a personality has a name of letters, digits, dots, hyphens and underscores", p.Name)
	case len(p.Modules) == 0:
		return p, errors.New("modules: it lists none")
	}
	for _, use := range p.Modules {
		if strings.ContainsFunc(use.Module+use.As, strictyaml.Control) {
			return p, errors.New("modules: the name of a module holds a control character: remove it")
		}
	}
	if _, err := p.keys(); err != nil {
		return p, fmt.Errorf("trusted_keys: %w", err)
	}
	switch p.OnFailure {
	case "", module.OnFailureStop, module.OnFailureContinue:
		return p, nil
	}
	return p, fmt.Errorf("on_failure is %q: it is %s or %s", p.OnFailure, module.OnFailureStop, module.OnFailureContinue)
}

// keys returns the trusted keys; nil: no signature is looked at.
func (p Personality) keys() (signature.Keys, error) {
	if p.TrustedKeys == nil {
		return nil, nil
	}
	return signature.ParseKeys([]byte(strings.Join(p.TrustedKeys, "\n")))
}

// load reads src, a personality file or a folder of modules, and returns who finds
// its modules. modules is a collection to look in first, if not empty.
func load(src, modules string) (Personality, *source.Finder, error) {
	info, err := os.Stat(src)
	if err != nil {
		return Personality{}, nil, err
	}
	if info.IsDir() {
		p, folders, err := loadFolder(src)
		return p, &source.Finder{Folders: folders}, err
	}
	p, folders, err := loadFile(src, modules)
	if err != nil {
		return p, nil, err
	}
	lock, err := source.ReadLock(source.LockFile(src))
	return p, &source.Finder{Folders: folders, Lock: lock}, err
}

func loadFile(src, modules string) (p Personality, folders source.Folders, err error) {
	folders = source.Folders{Base: filepath.Dir(src)}
	if folders.Collections, err = source.Collections(folders.Base, modules); err != nil {
		return Personality{}, folders, err
	}
	f, err := os.Open(src)
	if err != nil {
		return Personality{}, folders, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPersonality+1))
	if err != nil {
		return Personality{}, folders, err
	}
	if p, err = ParsePersonality(text); err != nil {
		return p, folders, fmt.Errorf("%s: %w", src, err)
	}
	return p, folders, nil
}

// loadFolder makes a personality of a folder of modules: all of them, in byte
// order, as the shell recipe would run them.
func loadFolder(dir string) (Personality, source.Folders, error) {
	folders := source.Folders{Base: dir, Collections: []string{dir}}
	names, err := source.All(dir)
	if err != nil {
		return Personality{}, folders, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Personality{}, folders, err
	}
	p := Personality{Name: filepath.Base(abs)}
	for _, name := range names {
		use := Use{Module: name}
		if rest := numbered.FindStringSubmatch(name); rest != nil { // 10-java: the number is its place, not its name
			use = Use{Module: "./" + name, As: rest[1]}
		}
		p.Modules = append(p.Modules, use)
	}
	switch {
	case len(names) == 0:
		return p, folders, fmt.Errorf("%s holds no module: no folder with a file named %s", dir, module.Start)
	case !nameForm.MatchString(p.Name):
		p.Name = "bundle"
	}
	return p, folders, nil
}
