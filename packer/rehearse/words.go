package rehearse

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"startup-bundle/internal/terminal"
	"startup-bundle/packer/sandbox"
)

const inPlace = "--here: the modules run on this machine itself, and what they change stays changed"

// announcement says beforehand what becomes of the modules' changes.
func announcement(kind sandbox.Kind) string {
	switch kind {
	case sandbox.Copy:
		return "the modules run in a copy of this machine: what they change is thrown away"
	case sandbox.ReadOnly:
		return "the modules see this machine read-only: what they write outside the scratch folder and /tmp is refused"
	}
	return `no namespaces here (docs/rehearsing.md says why): what the modules write outside the scratch folder is refused with "Permission denied"`
}

// codeModule is the agent's exit code when a module failed.
const codeModule = 15

// conclusion says afterwards what the table does not, line by line.
func (o Options) conclusion(outcome sandbox.Outcome, code int, root string) (lines []string) {
	if outcome.Killed != "" {
		lines = append(lines, "the agent was ended by a signal: "+outcome.Killed)
	}
	if len(outcome.Changed) > 0 {
		lines = append(lines, "changed there, not here: "+listed(outcome.Changed, "paths"))
	}
	if len(outcome.ReadOnly) > 0 {
		lines = append(lines, "read-only there: "+listed(outcome.ReadOnly, "folders"))
	}
	if code == codeModule && !o.Here && os.Geteuid() != 0 {
		lines = append(lines, "installing packages, adding users and changing root's files need root: sudo "+o.Again)
	}
	switch {
	case o.Keep != "":
		lines = append(lines, "kept: "+root, "  startup-agent logs --root "+terminal.Quote(root))
	case code != 0:
		lines = append(lines, "its files are removed: to keep them, rehearse again with --keep FOLDER")
	}
	if len(lines) > 0 {
		lines = append([]string{""}, lines...)
	}
	return lines
}

// listed shows some of many: those near the root tell the most.
func listed(paths []string, what string) string {
	const most = 8
	paths = slices.Clone(paths)
	slices.SortStableFunc(paths, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	if len(paths) <= most {
		return strings.Join(paths, ", ")
	}
	return fmt.Sprintf("%s … (%d %s)", strings.Join(paths[:most], ", "), len(paths), what)
}
