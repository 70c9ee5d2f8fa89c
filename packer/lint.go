package packer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/packer/source"
)

// Finding is one thing that Lint has to say.
type Finding struct {
	Path    string `json:"path"`
	Line    int    `json:"line,omitempty"` // from 1; 0: it is of the whole file
	Level   string `json:"level"`          // error: pack or run would fail; warning: it may surprise
	Problem string `json:"problem"`
}

// String returns the finding as compilers print theirs.
func (f Finding) String() string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d: %s: %s", f.Path, f.Line, f.Level, f.Problem)
	}
	return fmt.Sprintf("%s: %s: %s", f.Path, f.Level, f.Problem)
}

// The levels of a Finding.
const (
	LevelError   = "error"
	LevelWarning = "warning"
)

// Lint checks a personality, a folder of modules, or one module's folder.
func Lint(ctx context.Context, src, modules string) ([]Finding, error) {
	info, err := os.Stat(src)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if _, err := os.Lstat(filepath.Join(src, module.Start)); err == nil {
			return lintModule(ctx, src), nil
		}
		return lintFolder(ctx, src)
	}
	p, finder, err := load(src, modules)
	if err != nil { // a finding like any other
		return []Finding{{Path: src, Line: lineOf(err), Level: LevelError, Problem: strings.TrimPrefix(err.Error(), src+": ")}}, nil
	}
	at, err := placesOf(src)
	if err != nil {
		return nil, err
	}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	finder.Frozen = true // lint asks nobody and writes nothing
	var found []Finding
	linted := map[string]bool{}
	var before []string
	for i, use := range p.Modules {
		m, err := planModule(ctx, use, finder, keys, nil)
		if err != nil {
			found = append(found, lintUse(src, use, err, at.uses[i], at.options[i])...)
			continue
		}
		if slices.Contains(before, m.Name) {
			found = append(found, Finding{Path: src, Line: at.uses[i], Level: LevelError, Problem: fmt.Sprintf("module %s is there twice: give the second another name by as", m.Name)})
		}
		if !linted[m.Tree.Dir] {
			linted[m.Tree.Dir] = true
			found = append(found, lintModule(ctx, m.Tree.Dir)...)
		}
		found = append(found, lintOrder(src, at.uses[i], m, p, before)...)
		before = append(before, m.Name)
	}
	return found, nil
}

// OwnModules returns the folders of a personality's modules that are the user's own.
// What cannot be found is left out: Lint says why.
func OwnModules(src, modules string) []string {
	p, finder, err := load(src, modules)
	if err != nil {
		return nil
	}
	var dirs []string
	for _, use := range p.Modules {
		if source.IsRemote(use.Module) {
			continue
		}
		dir, _, err := finder.Locate(use.Module)
		if err == nil && !source.IsStandard(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// lintUse makes findings of why a module cannot be packed: one for each option that
// is wrong, in its line.
func lintUse(src string, use Use, err error, line int, options map[string]int) []Finding {
	var wrong module.OptionErrors
	if !errors.As(err, &wrong) {
		return []Finding{{Path: src, Line: line, Level: LevelError, Problem: err.Error()}}
	}
	name := use.As
	if name == "" {
		name = use.Module
	}
	var found []Finding
	for _, w := range wrong {
		at, ok := options[w.Option]
		if !ok { // it is missing
			at = line
		}
		found = append(found, Finding{Path: src, Line: at, Level: LevelError, Problem: fmt.Sprintf("module %s: %v", name, w)})
	}
	return found
}

// lintFolder checks what pack takes for the modules of a folder. A folder without
// a start that looks like a module otherwise is a mistake; any other is not ours.
func lintFolder(ctx context.Context, dir string) ([]Finding, error) {
	names, err := source.All(dir)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, name := range names {
		found = append(found, lintModule(ctx, filepath.Join(dir, name))...)
	}
	for _, name := range names {
		if needed := required(filepath.Join(dir, name)); len(needed) > 0 {
			found = append(found, Finding{Path: filepath.Join(dir, name), Level: LevelWarning, Problem: "it needs a personality that gives its option " + strings.Join(needed, ", ") + ": the folder cannot be packed without one"})
		}
	}
	for _, name := range []string{module.SpecFile, module.Check, module.StartShell} {
		unfinished, err := filepath.Glob(filepath.Join(dir, "*", name))
		if err != nil {
			return nil, err
		}
		for _, path := range unfinished {
			start := filepath.Join(filepath.Dir(path), module.Start)
			finding := Finding{Path: start, Level: LevelError, Problem: "it is missing: every module has an executable start"}
			if _, err := os.Lstat(start); err != nil && !slices.Contains(found, finding) {
				found = append(found, finding)
			}
		}
	}
	if len(names)+len(found) == 0 {
		found = append(found, Finding{Path: dir, Level: LevelError, Problem: "it holds no module: no folder with a file named " + module.Start})
	}
	return found, nil
}

// required returns the options that a module must be given, sorted.
func required(dir string) []string {
	spec, err := source.Spec(dir)
	if err != nil {
		return nil // lintModule says it
	}
	var names []string
	for name, o := range spec.Options {
		if o.Required && o.Default == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// lintOrder compares "after" with the personality's order, which it never changes.
func lintOrder(src string, line int, m PlannedModule, p Personality, before []string) []Finding {
	spec, err := source.Spec(m.Tree.Dir)
	if err != nil {
		return nil // lintModule says it
	}
	var found []Finding
	for _, other := range spec.After {
		used := slices.ContainsFunc(p.Modules, func(u Use) bool { return u.Module == other || u.As == other })
		if used && !slices.Contains(before, other) {
			found = append(found, Finding{Path: src, Line: line, Level: LevelWarning, Problem: fmt.Sprintf("module %s wants to run after %s: list it later", m.Name, other)})
		}
	}
	return found
}

func lintModule(ctx context.Context, dir string) []Finding {
	var found []Finding
	add := func(name, level, format string, args ...any) {
		found = append(found, Finding{Path: filepath.Join(dir, name), Level: level, Problem: fmt.Sprintf(format, args...)})
	}
	if abs, err := filepath.Abs(dir); err == nil {
		if err := module.CheckName(filepath.Base(abs)); err != nil {
			add("", LevelError, "%v", err)
		}
	}
	spec, err := source.Spec(dir)
	if err != nil {
		add(module.SpecFile, LevelError, "%v", err)
	}
	if _, err := bundle.Scan(ctx, dir); err != nil {
		add("", LevelError, "%v", err)
	}
	for _, name := range []string{module.Start, module.Check} {
		for _, problem := range lintScript(filepath.Join(dir, name), name == module.Start) {
			add(name, LevelError, "%s", problem)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, module.ReadmeFile)); errors.Is(err, fs.ErrNotExist) {
		add(module.ReadmeFile, LevelWarning, "it is missing: a few lines tell others what the module does")
	}
	for _, name := range undeclared(dir, spec) {
		add(module.Start, LevelWarning, "it uses %s%s, and %s declares no option %s", module.OptionPrefix, strings.ToUpper(name), module.SpecFile, name)
	}
	return found
}

// lintScript says what would keep the kernel from running a script.
func lintScript(path string, required bool) []string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return []string{"it is missing: every module has an executable start"}
	case err != nil:
		return []string{err.Error()}
	case !info.Mode().IsRegular():
		return []string{"it is not a file"}
	}
	var problems []string
	if info.Mode()&0o111 == 0 {
		problems = append(problems, "it is not executable: chmod +x it")
	}
	f, err := os.Open(path)
	if err != nil {
		return append(problems, err.Error())
	}
	defer f.Close()
	first, _ := bufio.NewReaderSize(f, 4096).ReadSlice('\n') // a longer line, or none, is judged by what is there
	switch line := string(first); {
	case strings.HasPrefix(line, "\x7fELF"):
	case !strings.HasPrefix(line, "#!"):
		problems = append(problems, "its first line is not a #! line: begin with #!/bin/sh, or the path of another interpreter")
	case strings.HasSuffix(line, "\r\n"):
		problems = append(problems, `its first line ends in a carriage return, and the kernel would look for an interpreter of that name: save it with Unix line ends`)
	case !strings.HasPrefix(strings.TrimSpace(line[2:]), "/"):
		problems = append(problems, "its #! line names no absolute path")
	}
	return problems
}

var optionUse = regexp.MustCompile(`\bOPT_([A-Z][A-Z0-9_]*)\b`)

// undeclared returns the options that start uses and module.yaml does not know.
func undeclared(dir string, spec module.Spec) []string {
	text, err := os.ReadFile(filepath.Join(dir, module.Start))
	if err != nil || strings.HasPrefix(string(text), "\x7fELF") {
		return nil
	}
	var names []string
	for _, m := range optionUse.FindAllStringSubmatch(string(text), -1) {
		name := strings.ToLower(m[1])
		if _, ok := spec.Options[name]; !ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
