package collection

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"

	"startup-bundle/packer"
)

// parseOnly returns the arguments with which an interpreter parses a file, named
// behind them, and runs nothing of it; nil if there is no such way. Perl has none:
// perl -c runs BEGIN blocks.
func parseOnly(interpreter string) []string {
	switch interpreter {
	case "sh", "bash", "dash", "zsh", "ksh":
		return []string{"-n"}
	case "python3":
		return []string{"-I", "-c", "import ast, sys; ast.parse(open(sys.argv[1], 'rb').read(), sys.argv[1])"}
	case "ruby":
		return []string{"-c"}
	case "node":
		return []string{"--check"}
	}
	return nil
}

// lintScript parses a script with its own interpreter, if this machine has that.
// A script that can be parsed, and is a shell's, goes to shellcheck.
func lintScript(ctx context.Context, file string) ([]packer.Finding, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	name := interpreter(text)
	args := parseOnly(name)
	if args == nil {
		return nil, nil
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, nil //nolint:nilerr // it cannot be parsed here
	}
	out, err := exec.CommandContext(ctx, program, append(args, file)...).CombinedOutput()
	switch {
	case errors.As(err, new(*exec.ExitError)):
		return []packer.Finding{unparsable(file, name, string(out))}, ctx.Err()
	case err != nil:
		return nil, err
	case strings.HasSuffix(name, "sh") && name != "zsh":
		return shellcheck(ctx, file)
	}
	return nil, nil
}

// interpreter returns the name of the program in the #! line; what env runs, if
// that is env. It is empty if there is no such line.
func interpreter(text []byte) string {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	line, ok := strings.CutPrefix(string(first), "#!")
	words := strings.Fields(line)
	if !ok || len(words) == 0 {
		return ""
	}
	name := path.Base(words[0])
	for _, word := range words[1:] {
		if name != "env" {
			break
		}
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			name = path.Base(word)
		}
	}
	return name
}

var lineNumber = regexp.MustCompile(`(?:line |: ?)([0-9]+)`)

// unparsable makes a finding of what an interpreter says of a file: the last line
// number in it (Python's traceback begins with Python's own), and the first line
// that speaks of an error.
func unparsable(file, name, out string) packer.Finding {
	f := packer.Finding{Path: file, Level: packer.LevelError, Problem: name + " cannot parse it"}
	out = strings.ReplaceAll(out, file, "")
	for _, m := range lineNumber.FindAllStringSubmatch(out, -1) {
		f.Line, _ = strconv.Atoi(m[1]) // digits; 0 if there are too many
	}
	for line := range strings.Lines(out) {
		if at := strings.Index(strings.ToLower(line), "error"); at >= 0 {
			f.Problem += ": " + strings.TrimSpace(line[strings.LastIndex(line[:at], ": ")+1:])
			break
		}
	}
	return f
}

var gccLine = regexp.MustCompile(`^.*?:([0-9]+):[0-9]+: (.*)$`)

// shellcheck returns what shellcheck finds in a script; nothing if it is not
// installed.
func shellcheck(ctx context.Context, file string) ([]packer.Finding, error) {
	program, err := exec.LookPath("shellcheck")
	if err != nil {
		return nil, nil //nolint:nilerr // it is optional
	}
	// The library is sourced through a variable: shellcheck cannot follow that.
	out, err := exec.CommandContext(ctx, program, "--format=gcc", "--exclude=SC1090,SC1091", file).Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		return nil, err
	}
	var found []packer.Finding
	for line := range strings.Lines(string(out)) {
		if m := gccLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			number, _ := strconv.Atoi(m[1])
			found = append(found, packer.Finding{Path: file, Line: number, Level: packer.LevelWarning, Problem: m[2]})
		}
	}
	return found, ctx.Err()
}
