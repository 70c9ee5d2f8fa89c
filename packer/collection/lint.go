package collection

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/packer"
	"startup-bundle/packer/proving"
)

// Lint checks what packer.Lint does not: that the README shows the options which
// module.yaml declares (with fix, it is made to), how it is tested, and that the
// scripts can be parsed; shell scripts also by shellcheck if that is installed.
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
			found = append(found, packer.Finding{Path: readme, Level: packer.LevelError, Problem: "its table of options is not what module.yaml declares: startup-packer lint --fix writes it"})
		}
	}
	if problem := proving.CheckNeeds(dir); problem != nil {
		found = append(found, packer.Finding{Path: filepath.Join(dir, proving.NeedsFile), Level: packer.LevelError, Problem: problem.Error()})
	}
	for _, name := range []string{module.Start, module.Check} {
		script, err := lintScript(ctx, filepath.Join(dir, name))
		if err != nil {
			return found, err
		}
		found = append(found, script...)
	}
	return found, nil
}
