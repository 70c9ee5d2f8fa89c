package proving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
	"startup-bundle/packer"
	"startup-bundle/packer/source"
)

// subject is what is proved: one module, or all of a personality.
type subject struct {
	name    string
	dir     string // the module's folder; empty for a personality
	options map[string]module.Scalar
	needs   Needs
}

func readSubject(ctx context.Context, o Options) (subject, error) {
	path, err := filepath.Abs(o.Source)
	if err != nil {
		return subject{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return subject{}, err
	}
	if !info.IsDir() {
		return readPersonality(ctx, o, path)
	}
	s := subject{name: filepath.Base(path), dir: path, options: map[string]module.Scalar{}}
	if s.needs, err = readNeeds(path); err != nil {
		return s, err
	}
	maps.Copy(s.options, s.needs.Options)
	maps.Copy(s.options, o.Given)
	return s, nil
}

func readPersonality(ctx context.Context, o Options, path string) (subject, error) {
	if len(o.Given) > 0 {
		return subject{}, errors.New("options are for one module: write a personality's into its file")
	}
	plan, err := packer.Plan(ctx, packer.Options{Source: path, Modules: o.Modules, Note: o.note})
	if err != nil {
		return subject{}, err
	}
	s := subject{name: plan.Personality.Name}
	for _, m := range plan.Modules {
		needs, err := readNeeds(m.Tree.Dir)
		if err != nil {
			return s, err
		}
		if err := s.needs.join(needs); err != nil {
			return s, err
		}
	}
	return s, nil
}

// furnish packs the subject for the machine, and puts the agent on it.
func (o Options) furnish(ctx context.Context, m *machine, s subject) error {
	program, err := findAgent(o.Agent)
	if err != nil {
		return err
	}
	if err := m.copyIn(program, agentPath, 0o755); err != nil {
		return err
	}
	from, modules := o.Source, o.Modules
	if s.dir != "" {
		if from, err = m.write(s, m.device()); err != nil {
			return err
		}
		if modules == "" {
			modules = collectionOf(s.dir)
		}
	}
	key := filepath.Join(m.dir, "key")
	packed, err := packer.Pack(ctx, packer.Options{
		Source: from, Modules: modules, Output: m.bundleFile(), Seal: packer.Seal{KeyOut: key}, Version: o.Version, Locked: s.dir == "",
	})
	if err != nil {
		return err
	}
	secretKey, err := secret.ReadFile(key)
	if err != nil {
		return err
	}
	return m.surround(packed, secretKey)
}

// write makes the personality of one module and returns its file. JSON is YAML.
func (m *machine) write(s subject, device string) (string, error) {
	type use struct {
		Use     string            `json:"use"`
		Options map[string]string `json:"options,omitempty"`
	}
	u := use{Use: s.dir, Options: map[string]string{}}
	for name, value := range s.options {
		u.Options[name] = strings.ReplaceAll(string(value), DiskVariable, device)
	}
	text, err := json.Marshal(map[string]any{"name": s.name, "modules": []use{u}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(m.dir, "personality.json")
	return file, os.WriteFile(file, text, 0o600)
}

// collectionOf returns the collection a module's folder belongs to: the folder
// it lies in where that has a library, else what is found from there.
func collectionOf(dir string) string {
	parent := filepath.Dir(dir)
	if lib, err := source.Lib(parent); err == nil && lib != nil {
		return parent
	}
	found, err := source.FindModules(parent)
	if err != nil || found == "" {
		return parent
	}
	return found
}

func findAgent(program string) (string, error) {
	if program != "" {
		return program, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "startup-agent")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	return "", fmt.Errorf("the agent is not beside this program: name a static one with --agent PROGRAM")
}
