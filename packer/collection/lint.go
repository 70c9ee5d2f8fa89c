package collection

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/packer"
	"startup-bundle/packer/proving"
)

// Lint checks what packer.Lint does not: that the README shows the options which
// module.yaml declares (with fix, it is made to), how it is tested, and the
// shell scripts, by shellcheck where that is installed.
func Lint(ctx context.Context, dir string, fix bool) ([]packer.Finding, error) {
	var found []packer.Finding
	readme := filepath.Join(dir, module.ReadmeFile)
	text, err := os.ReadFile(readme)
	if err == nil {
		e, err := Read(dir)
		if err != nil {
			return nil, nil //nolint:nilerr // packer.Lint says it
		}
		switch {
		case !bytes.Contains(text, []byte(optionsBegin)):
		case fix:
			if _, err := UpdateReadme(dir); err != nil {
				return nil, err
			}
		case !strings.Contains(string(text), optionsBegin+"\n"+OptionsTable(e.Spec)+optionsEnd):
			found = append(found, packer.Finding{Path: readme, Level: packer.LevelError, Problem: "its table of options is not what module.yaml declares: startup-packer module lint --fix writes it"})
		}
	}
	if problem := proving.CheckNeeds(dir); problem != nil {
		found = append(found, packer.Finding{Path: filepath.Join(dir, proving.NeedsFile), Level: packer.LevelError, Problem: problem.Error()})
	}
	scripts, err := shellcheck(ctx, dir)
	return append(found, scripts...), err
}

// shellcheck runs shellcheck over the module's shell scripts; no finding where
// it is not installed.
func shellcheck(ctx context.Context, dir string) ([]packer.Finding, error) {
	program, err := exec.LookPath("shellcheck")
	if err != nil {
		return nil, nil //nolint:nilerr // it is optional
	}
	var found []packer.Finding
	for _, name := range []string{module.Start, module.Check} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil || !isShell(text) {
			continue
		}
		out, err := exec.CommandContext(ctx, program, "--format=gcc", "--external-sources", "--source-path=SCRIPTDIR", path).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			_, problem, _ := strings.Cut(strings.TrimSpace(line), path+":")
			found = append(found, packer.Finding{Path: path, Level: packer.LevelWarning, Problem: "line " + problem})
		}
	}
	return found, nil
}

func isShell(text []byte) bool {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.HasPrefix(first, []byte("#!")) && (bytes.HasSuffix(first, []byte("sh")) || bytes.Contains(first, []byte("sh ")))
}
