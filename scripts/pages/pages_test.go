// Package pages_test types what the README and docs/ tell their readers to type.
//
// Every code block of a page is a command, unless an HTML comment above it, which
// readers do not see, says what else it is:
//
//	<!-- file: NAME -->     the reader saves the block under this name
//	<!-- output -->         what the commands before it print, but for numbers and …
//	<!-- example -->        a form that is explained, nothing to type
//	<!-- exits: CODE -->    commands that end with this exit code
//	<!-- in CI -->          commands that .ci/run runs itself
//	<!-- not run: WHY -->   commands that no machine of ours can run
//
// A fenced block in a language other than a shell's is an example without being
// marked. A comment <!-- given: COMMAND --> stands for what the reader has done before;
// world.sh has the commands for it.
package pages_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	top = "../.."
	// maxNotRun is how many blocks of all pages are not run. Lower it whenever you can.
	maxNotRun = 10
)

// elsewhere are the pages that a test of their own types.
var elsewhere = map[string]string{"docs/writing-modules.md": "packer/proving, TestTheGuideIsRight"}

// block is a code block of a page, or a given.
type block struct {
	line      int // of its first line, from 1
	treatment string
	argument  string
	text      string
}

var (
	comment    = regexp.MustCompile(`^<!-- ([a-zA-Z ]+)(?:: (.+))? -->$`)
	treatments = map[string]bool{ // and whether they have an argument
		"given": true, "file": true, "exits": true, "not run": true,
		"output": false, "example": false, "in CI": false,
	}
)

// blocks reads a page.
func blocks(page string) ([]block, error) {
	var all []block
	var marked *block
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		fence, fenced := strings.CutPrefix(line, "```")
		indented := strings.HasPrefix(line, "    ") && (i == 0 || lines[i-1] == "" || strings.HasPrefix(lines[i-1], "#"))
		m := comment.FindStringSubmatch(line)
		switch {
		case m != nil && m[1] == "bench": // build/bench writes what is between these
		case m != nil:
			hasArgument, known := treatments[m[1]]
			if !known || hasArgument != (m[2] != "") {
				return nil, fmt.Errorf("line %d: %s is not a treatment", i+1, line)
			}
			if marked != nil {
				return nil, fmt.Errorf("line %d: no block follows the comment", marked.line)
			}
			b := block{line: i + 1, treatment: m[1], argument: m[2]}
			if b.treatment == "given" {
				all = append(all, b)
			} else {
				marked = &b
			}
		case fenced || indented:
			b := block{line: i + 1}
			if marked != nil {
				b.treatment, b.argument, marked = marked.treatment, marked.argument, nil
			} else if fenced && fence != "" && fence != "bash" && fence != "sh" {
				b.treatment = "example"
			}
			if fenced {
				for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
					b.text += lines[i] + "\n"
				}
			} else {
				for ; i < len(lines) && (lines[i] == "" || strings.HasPrefix(lines[i], "    ")); i++ {
					b.text += strings.TrimPrefix(lines[i], "    ") + "\n"
				}
				i--
				b.text = strings.TrimRight(b.text, "\n") + "\n"
			}
			all = append(all, b)
		case line != "" && marked != nil:
			return nil, fmt.Errorf("line %d: no block follows the comment", marked.line)
		}
	}
	if marked != nil {
		return nil, fmt.Errorf("line %d: no block follows the comment", marked.line)
	}
	return all, nil
}

// pages are the pages' texts, by their paths in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(top + "/docs/*.md")
	if err != nil || len(names) == 0 {
		t.Fatal("no pages", err)
	}
	all := map[string]string{}
	for _, name := range append(names, top+"/README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(filepath.ToSlash(name), top+"/")] = string(text)
	}
	return all
}

func TestEveryBlockHasATreatment(t *testing.T) {
	ci, err := os.ReadFile(top + "/.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	notRun := 0
	for name, page := range pages(t) {
		all, err := blocks(page)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, b := range all {
			switch b.treatment {
			case "not run":
				notRun++
				t.Logf("%s:%d is not run: %s", name, b.line, b.argument)
			case "in CI":
				for line := range strings.Lines(b.text) {
					command := strings.TrimSpace(strings.SplitN(line, "#", 2)[0])
					if !strings.Contains("\n"+string(ci), "\n"+command+"\n") {
						t.Errorf("%s:%d: .ci/run does not run %s", name, b.line, command)
					}
				}
			}
		}
	}
	if notRun > maxNotRun {
		t.Errorf("%d blocks are not run, more than %d", notRun, maxNotRun)
	}
}

func TestBlocks(t *testing.T) {
	for _, test := range []struct{ page, want string }{
		{"text\n\n    a\n    b\n\n    c\n\ntext\n", "3|||a\nb\n\nc\n"},
		{"## Title\n    a\n", "2|||a\n"},
		{"- item\n    goes on\n", ""},
		{"```bash\na\n```\n", "1|||a\n"},
		{"```yaml\na: b\n```\n", "1|example||a: b\n"},
		{"<!-- file: a.yaml -->\n```yaml\na: b\n```\n", "2|file|a.yaml|a: b\n"},
		{"<!-- exits: 15 -->\n\n    a\n", "3|exits|15|a\n"},
		{"<!-- given: launched -->\n<!-- not run: it costs money -->\n\n    a\n", "1|given|launched|;4|not run|it costs money|a\n"},
		{"<!-- bench: begin -->\n", ""},
		{"<!-- not a treatment -->\n", "error"},
		{"<!-- not run -->\n\n    a\n", "error"},
		{"<!-- output -->\n\ntext\n", "error"},
		{"<!-- output -->\n", "error"},
	} {
		got, err := blocks(test.page)
		var parts []string
		for _, b := range got {
			parts = append(parts, fmt.Sprintf("%d|%s|%s|%s", b.line, b.treatment, b.argument, b.text))
		}
		have := strings.Join(parts, ";")
		if err != nil {
			have = "error"
		}
		if have != test.want {
			t.Errorf("%q: %q, %v, want %q", test.page, have, err, test.want)
		}
	}
}

// Every relative link of a page leads to a file, and to a heading of it.
func TestLinks(t *testing.T) {
	all := pages(t)
	for name, page := range all {
		for _, m := range regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]+))?\)`).FindAllStringSubmatch(page, -1) {
			target := name
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(name), m[1])
			}
			if _, err := os.Stat(filepath.Join(top, target)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if m[2] != "" && !headings(all[target])[m[2]] {
				t.Errorf("%s: %s has no heading %s", name, target, m[2])
			}
		}
	}
}

// headings are a page's anchors, as GitHub makes them.
func headings(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return all
}
