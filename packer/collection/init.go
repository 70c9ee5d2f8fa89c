package collection

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The names of what Init makes.
const (
	PersonalityFile = "personality.yaml"
	firstModule     = "hello"
)

// Init makes a personality in the folder dir, with a first module of one's own
// beside it, and a .gitignore unless there is one. dir is made if need be. It
// replaces nothing: the error is fs.ErrExist if dir has a personality or that
// module already. It returns the paths of what it made.
func Init(dir string) (made []string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	personality := filepath.Join(dir, PersonalityFile)
	module := filepath.Join(dir, "modules", firstModule)
	for _, path := range []string{personality, module} {
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
	}
	defer func() {
		if err == nil {
			return
		}
		for _, path := range made {
			err = errors.Join(err, os.RemoveAll(path))
		}
		made = nil
	}()
	if _, err := New(filepath.Dir(module), firstModule); err != nil {
		return made, err
	}
	made = append(made, module)
	if err := writeNew(personality, "personality.yaml.tmpl", nameOf(abs)); err != nil {
		return made, err
	}
	made = append(made, personality)
	ignore := filepath.Join(dir, ".gitignore")
	switch err := writeNew(ignore, "gitignore.tmpl", ""); {
	case err == nil:
		made = append(made, ignore)
	case !errors.Is(err, fs.ErrExist):
		return made, err
	}
	return made, nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+|^[._-]+`)

// nameOf returns the name of a personality in a folder of that path.
func nameOf(path string) string {
	const most = 64
	name := notInName.ReplaceAllString(filepath.Base(path), "")
	if name == "" {
		return "web"
	}
	return name[:min(len(name), most)]
}

func writeNew(path, template, name string) error {
	text, err := skeleton.ReadFile("skeleton/" + template)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.ReplaceAll(string(text), "NAME", name))
	return errors.Join(err, f.Close())
}
