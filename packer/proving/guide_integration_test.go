//go:build integration

package proving

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A module that is written by following docs/writing-modules.md to the letter passes
// at the first try: its commands are run, and its files written, in its order.
func TestTheGuideIsRight(t *testing.T) {
	if err := (Options{Base: "debian12", Stderr: &bytes.Buffer{}}).able(Needs{}); err != nil {
		t.Skip(err)
	}
	guide, err := os.ReadFile("../../docs/writing-modules.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := programs(t)
	ownCache(t)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Chdir(t.TempDir())

	steps := regexp.MustCompile("(?m)^`(modules/motd/[a-z.]+)`:\n\n```[a-z]+\n((?s:.*?))```$|^(name: greeter\n(?s:.*?))```$|^    (?:sudo )?(startup-packer .*)$")
	var ran, wrote int
	for _, step := range steps.FindAllStringSubmatch(string(guide), -1) {
		file, text, personality, command := step[1], step[2], step[3], step[4]
		switch {
		case command != "":
			ran++
			out, err := exec.Command("bash", "-c", command).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			if strings.Contains(command, " module test ") && !strings.Contains(string(out), Passed) {
				t.Errorf("%s:\n%s", command, out)
			}
		case personality != "":
			wrote++
			overwrite(t, "greeter.yaml", personality)
		default:
			wrote++
			if _, err := os.Stat(file); err != nil {
				t.Errorf("module new did not make it: %v", err)
			}
			overwrite(t, file, text)
		}
	}
	if ran != 4 || wrote != 4 {
		t.Errorf("%d commands and %d files: the guide is read in the wrong way", ran, wrote)
	}
	readme, err := os.ReadFile("modules/motd/README.md")
	if err != nil || !strings.Contains(string(readme), "| `color` | `none` |") {
		t.Errorf("lint --fix wrote no table of options: %v\n%s", err, readme)
	}
}

// programs builds both, for a PATH.
func programs(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "startup-bundle/cmd/startup-agent", "startup-bundle/cmd/startup-packer")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// overwrite keeps the file's mode, as an editor does.
func overwrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
