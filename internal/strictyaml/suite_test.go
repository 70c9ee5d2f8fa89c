package strictyaml_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"startup-bundle/internal/strictyaml"
)

// suiteCase is one case of the official test suite: testdata/README.md.
type suiteCase struct {
	ID     string
	YAML   string
	Events string
	Bad    bool
}

func suite(t testing.TB) (cases []suiteCase) {
	t.Helper()
	f, err := os.Open("testdata/yaml-test-suite.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var c suiteCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil || len(cases) != 402 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	return cases
}

// TestSuite holds that what is accepted of the official suite is read as the suite
// says, and that nothing is refused without a reason of ours.
func TestSuite(t *testing.T) {
	// These are not YAML, because a line is indented too little, or with a tab. The library accepts them: in
	// brackets, in quotes, and in a block that begins with blanks.
	lenient := []string{"9C9N", "DK95/01", "QB6E", "S98Z", "Y79Y/003"}
	accepted, refused := 0, 0
	for _, c := range suite(t) {
		want, ours := "", false
		if !c.Bad {
			want, ours = tree(t, c)
		}
		for _, text := range []string{c.YAML, strings.ReplaceAll(c.YAML, "\n", "\r\n")} {
			got, problem := strictyaml.Parse([]byte(text))
			switch {
			case c.Bad && problem == nil && !slices.Contains(lenient, c.ID):
				t.Errorf("%s: %q is accepted", c.ID, text)
			case c.Bad:
			case ours && problem != nil:
				t.Errorf("%s: %q is refused: %v", c.ID, text, problem)
			case problem != nil:
				refused++
			case shown(got.Root) != want:
				t.Errorf("%s: %q is read as\n%s, want\n%s", c.ID, text, shown(got.Root), want)
			default:
				accepted++
			}
		}
	}
	// Each case counts twice, for its two line ends: 210 good ones that our texts may hold, 98 that they may not.
	if accepted != 420 || refused != 196 {
		t.Errorf("%d accepted, %d refused for what we do not take", accepted, refused)
	}
}

// shown writes a tree as the events of the suite are written by tree.
func shown(n *strictyaml.Node) string {
	switch {
	case n == nil:
		return ""
	case n.Kind == yaml.ScalarNode:
		return strconv.Quote(n.Value)
	}
	kinds := map[yaml.Kind]string{yaml.MappingNode: "{", yaml.SequenceNode: "["}
	text := kinds[n.Kind]
	for _, child := range n.Content {
		text += shown(child) + " "
	}
	return text + ")"
}

// tree returns what a case holds. ours is false if it uses what we refuse: an
// anchor, alias, tag or directive, a second document, a name that is not a text.
func tree(t *testing.T, c suiteCase) (text string, ours bool) {
	t.Helper()
	ours = true
	documents := 0
	var open []string // of each list or mapping: its kind
	var children []int
	child := func(scalar bool) {
		if n := len(open); n > 0 {
			ours = ours && (scalar || open[n-1] != "+MAP" || children[n-1]%2 == 1)
			children[n-1]++
		}
	}
	for line := range strings.Lines(c.Events) {
		event, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch event {
		case "+DOC":
			documents++
			ours = ours && documents == 1
		case "=ALI":
			ours = false
			child(true)
		case "+MAP", "+SEQ":
			child(false)
			open, children = append(open, event), append(children, 0)
			ours = ours && !strings.ContainsAny(rest, "&<")
			text += map[string]string{"+MAP": "{", "+SEQ": "["}[event]
		case "-MAP", "-SEQ":
			open, children = open[:len(open)-1], children[:len(children)-1]
			text += ")"
			if len(open) > 0 {
				text += " "
			}
		case "=VAL":
			child(true)
			properties, value := "", rest
			for value[0] == '&' || value[0] == '<' {
				property, next, _ := strings.Cut(value, " ")
				properties, value = properties+property, next
			}
			ours = ours && properties == ""
			style, value := value[0], unescape(value[1:])
			if style == ':' && value == "<<" {
				ours = false
			}
			text += strconv.Quote(value)
			if len(open) > 0 {
				text += " "
			}
		}
	}
	for line := range strings.Lines(c.YAML) {
		ours = ours && !strings.HasPrefix(line, "%")
	}
	return text, ours
}

func unescape(text string) string {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\b`, "\b").Replace(text)
}
