package strictyaml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/strictyaml"
)

const limit = 1 << 20

type named struct {
	Use     string            `yaml:"use"`
	Options map[string]string `yaml:"options"`
}

// UnmarshalText takes a name in the place of the fields.
func (n *named) UnmarshalText(text []byte) error {
	*n = named{Use: string(text)}
	return nil
}

type file struct {
	Name    string            `yaml:"name"`
	OS      []string          `yaml:"os"`
	Count   int               `yaml:"count"`
	Signed  bool              `yaml:"signed"`
	Default *string           `yaml:"default"`
	Options map[string]string `yaml:"options"`
	Modules []named           `yaml:"modules"`
}

func TestDecode(t *testing.T) {
	empty := ""
	for name, test := range map[string]struct {
		text string
		want file
	}{
		"nothing":           {"", file{}},
		"comments":          {"# nothing\n\n", file{}},
		"null":              {"~\n", file{}},
		"every field":       {"name: a\nos: [b, c]\ncount: 7\nsigned: true\ndefault: d\noptions: {e: f}\n", file{Name: "a", OS: []string{"b", "c"}, Count: 7, Signed: true, Default: ptr("d"), Options: map[string]string{"e": "f"}}},
		"json":              {`{"name": "a", "os": ["b"], "count": 7, "signed": false}`, file{Name: "a", OS: []string{"b"}, Count: 7}},
		"json over lines":   {"{\n\t\"name\": \"a\",\n\t\"os\": [\n\t\t\"b\"\n\t]\n}\n", file{Name: "a", OS: []string{"b"}}},
		"a name for fields": {"modules:\n- a\n- use: b\n  options: {c: 007}\n", file{Modules: []named{{Use: "a"}, {Use: "b", Options: map[string]string{"c": "007"}}}}},
		"nothing given":     {"name:\nos:\ncount:\nsigned:\ndefault:\noptions:\n", file{OS: []string{}}},
		"empty texts":       {"default: ''\noptions: {a: , b: \"\"}\n", file{Default: &empty, Options: map[string]string{"a": "", "b": ""}}},
		"empty collections": {"os: []\noptions: {}\n", file{OS: []string{}, Options: map[string]string{}}},
		"byte order mark":   {"\ufeffname: a\n", file{Name: "a"}},
		"mark before JSON":  {"\ufeff{\"name\": \"a\"}", file{Name: "a"}},
		"mark and CRLF":     {"\ufeff# x\r\nname: a\r\nos:\r\n  - b\r\n", file{Name: "a", OS: []string{"b"}}},
		"only a mark":       {"\ufeff", file{}},
		"markers":           {"---\nname: a\n...\n", file{Name: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got file
			if err := strictyaml.Decode([]byte(test.text), limit, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func ptr(text string) *string { return &text }

// A text comes back as it was written, or as YAML 1.2 reads it, with LF and with
// CRLF line ends.
func TestTexts(t *testing.T) {
	for written, want := range map[string]string{
		// Bare: nothing is a number, a boolean or a date.
		"007": "007", "1e5": "1e5", "0x1F": "0x1F", "1_000": "1_000", "yes": "yes", "True": "True", "2026-11-22": "2026-11-22",
		"1.50": "1.50", ".nan": ".nan", "12:30:45": "12:30:45", "=": "=", "a#b": "a#b", "a  b": "a  b", "99999999999999999999": "99999999999999999999",
		// Tabs.
		"pass\tword": "pass\tword", "\"pass\tword\"": "pass\tword", "'pass\tword'": "pass\tword", "\ta\tb\t": "a\tb", "a\t# b": "a",
		"|\n  a\tb\n": "a\tb\n", "|-\n  \ta": "\ta",
		// Escapes.
		`"\x41\u00e9\U0001f600\n\t\\\"\/"`: "Aé😀\n\t\\\"/", `'\x41'`: `\x41`, `\x41`: `\x41`, `"\0"`: "\x00", "\"a\\\n    b\"": "ab",
		// Surrogate pairs, as json.dumps writes them, are characters in "quotes" alone.
		`"\ud83d\ude00"`: "😀", `"a\uD83D\uDE00\ud834\udd1eb"`: "a😀\U0001d11eb", `"\\\ud83d\ude00"`: `\😀`, `"\\ud83d\\ude00"`: `\ud83d\ude00`,
		`'\ud83d\ude00'`: `\ud83d\ude00`, `\ud83d\ude00`: `\ud83d\ude00`, "|\n  \\ud83d\\ude00\n": "\\ud83d\\ude00\n", `'\\\ud83d\ude00'`: `\\\ud83d\ude00`,
		"\"\\ud83d\\ude00\U0010fe00\"": "😀\U0010fe00",
		// Blocks keep their end exactly.
		"|\n  a\n": "a\n", "|-\n  a\n": "a", "|+\n  a\n": "a\n", "|+\n  a\n\n\n": "a\n\n\n", "|+\n  a": "a", "|\n  a": "a", "|\n  a\n\n\n": "a\n",
		"|-\n  a  \n": "a  ", ">-\n  a  \n": "a  ", "|-\n  a  ": "a  ", "|2-\n   a": " a", "|2\n   a\n": " a\n", "|\n  a\n\n  b\n": "a\n\nb\n",
		">\n  a\n  b\n\n  c\n": "a b\nc\n", ">-\n  a\n   b\n  c": "a\n b\nc", "|\n  # a\n": "# a\n", "|+\n\n": "\n", "|-\n  a\n # b\n": "a",
		// Over several lines, as YAML folds them.
		"a\n  b": "a b", "\"a\n  b\n\n  c\"": "a b\nc", "'a\n\n  b'": "a\nb",
	} {
		for _, text := range []string{"x: " + written, "- " + written, "x: " + strings.ReplaceAll(written, "\n", "\r\n")} {
			tree, problem := strictyaml.Parse([]byte(text))
			if problem != nil {
				t.Errorf("%q: %v", text, problem)
				continue
			}
			content := tree.Root.Content
			if got := content[len(content)-1]; got.Value != want || strictyaml.Null(got) {
				t.Errorf("%q is read as %q, want %q", text, got.Value, want)
			}
		}
	}
}

const indicator = `a value starts with one of & * ! % ? <<, which mean something to YAML; put the value in "quotes"`

// Every text that cannot be read is refused at the place of its fault, in words
// that hold none of it.
func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"naem: CANARY":                     `line 1, column 1: naem: is not a known field; did you mean "name"?`,
		"name: a\nCANARY7: b":              "line 2, column 1: is not a known field; known are name, os, count, signed, default, options, modules",
		"\"\\x1b[31mCANARY\": b":           "line 1, column 1: is not a known field; known are name, os, count, signed, default, options, modules",
		"name: a\nname: CANARY":            "line 2, column 1: name: is given twice; keep one of them",
		"options: {a: b, c: d, a: CANARY}": "line 1, column 23: options.a: is given twice; keep one of them",
		"modules: [{use: a, usee: b}]":     `line 1, column 20: usee: is not a known field; did you mean "use"?`,
		"name: [CANARY]":                   "line 1, column 7: name: takes one value, not a list or names with values",
		"os: CANARY":                       `line 1, column 5: os: takes a list; write "[a, b]", or one "- a" a line`,
		"os: [a, , b]":                     "line 1, column 9: a comma has no value before it",
		"os:\n- a\n-\n- b":                 "line 3, column 2: os: has an entry without a value",
		"os: [~]":                          "line 1, column 6: os: has the value null",
		"options: {a: null}":               "line 1, column 14: options.a: has the value null",
		"options: [CANARY]":                "line 1, column 10: options: takes names with values",
		"count: CANARY":                    "line 1, column 8: count: is not a whole number",
		"count: 1_0":                       "line 1, column 8: count: is not a whole number",
		"count: \"1\"":                     "line 1, column 8: count: is not a whole number",
		"count: 99999999999999999999":      "line 1, column 8: count: is not a whole number",
		"signed: CANARY":                   "line 1, column 9: signed: is neither true nor false",
		"signed: yes":                      "line 1, column 9: signed: is neither true nor false",
		"CANARY":                           "line 1, column 1: this takes names with values",
		"- CANARY":                         "line 1, column 1: this takes names with values",
		"modules:\n- [CANARY]":             "line 2, column 3: modules: takes names with values",

		"name: &CANARY a":                             "line 1, column 7: " + indicator,
		"name: *CANARY":                               "line 1, column 7: " + indicator,
		"name: &a CANARY\nos: [*a]":                   "line 1, column 7: " + indicator,
		"name: !!str CANARY":                          "line 1, column 7: " + indicator,
		"name: ! CANARY":                              "line 1, column 7: " + indicator,
		"name: !<CANARY> a":                           "line 1, column 7: " + indicator,
		"name: !CANARY!a b":                           "line 1, column 7: " + indicator,
		"name: <<":                                    "line 1, column 7: " + indicator,
		"options:\n  <<: {a: CANARY}":                 "line 2, column 3: " + indicator,
		"%YAML 1.2\n---\nname: CANARY":                "line 1, column 1: " + indicator,
		"%TAG ! CANARY\n---\nname: a":                 "line 1, column 1: " + indicator,
		"name: CANARY\n---\nname: b":                  `line 2, column 1: a second YAML document begins here; keep one, and remove the "---" line`,
		"name: CANARY\n---\n":                         "line 2, column 1: a second YAML document begins here",
		"name: CANARY\n...\nname: b":                  "line 3, column 1: a second YAML document begins here",
		"---\n---\nname: CANARY":                      "line 2, column 1: a second YAML document begins here",
		"name: {{ CANARY }}":                          "line 1, column 8: a name starts with a bracket",
		"[CANARY]: a":                                 "line 1, column 1: a name starts with a bracket",
		"name: a\n\tos: [CANARY]":                     "line 2, column 1: the line is indented with a tab; use spaces",
		"options:\n\ta: CANARY":                       "line 2, column 1: the line is indented with a tab; use spaces",
		"name: a: CANARY":                             `line 1, column 8: a value holds ": " or a line is indented too far`,
		"name:CANARY\nos: []":                         `line 1, column 1: this is not YAML; write "name: value" on each line`,
		"name: a\nCANARY":                             `line 2, column 1: this is not YAML; write "name: value" on each line`,
		"name: \"CANARY\nos: []\n":                    "line 1, column 7: a quote is opened and never closed",
		"name: 'CANARY\nos: []\n":                     "line 1, column 7: a quote is opened and never closed",
		"options:\n  a: \"x\n  b: \"CANARY\"":         `line 3, column 7: this does not continue the line above`,
		"os: [a, CANARY\nname: b\n":                   "line 1, column 5: a bracket has no partner",
		"options: {a: CANARY\n\n# end\n":              "line 1, column 10: a bracket has no partner",
		"os: [":                                       "line 1, column 5: a bracket has no partner",
		"{\n\t\"name\": \"CANARY\"\n\t\"os\": []\n}":  "line 3, column 2: a comma or a closing bracket is missing before this",
		"{\n\t\"os\": [\"CANARY\"\n\t\"name\": 7}":    "line 3, column 2: a comma or a closing bracket is missing before this",
		"{\n\t\"os\": [\"CANARY\"],\n\t\"name\": 7\n": "line 1, column 1: a bracket has no partner",
		"os: CANARY\nname: ]":                         "line 2, column 7: a bracket has no partner",
		"name: @CANARY":                               "line 1, column 7: a value starts with a character",
		"name: `CANARY":                               "line 1, column 7: a value starts with a character",
		"name: %CANARY":                               "line 1, column 7: a value starts with a character",
		"name: - CANARY":                              `line 1, column 7: a list cannot start here`,
		"name: \"a\"#CANARY":                          "line 1, column 10: there is no space before a #",
		"name: \"a\" CANARY":                          "line 1, column 11: this does not continue the line above",
		"name: |CANARY\n  a":                          "line 1, column 7: the lines of text after | or >",
		`name: "CANARY\xzz"`:                          `line 1, column 16: a \ in "quotes" starts an escape that YAML does not know`,
		`name: "C:\CANARY"`:                           `line 1, column 10: a \ in "quotes" starts an escape that YAML does not know`,
		`name: "CANARY\ud83d"`:                        `line 1, column 16: a \u or \U escape is not a character`,
		`name: "\ude00\ud83dCANARY"`:                  `line 1, column 10: a \u or \U escape is not a character`,
		`name: "\\ud83d\ude00CANARY"`:                 `line 1, column 17: a \u or \U escape is not a character`,
		"name: \"\\ud83d\\ude00\U0010ff5c\"":          `line 1, column 10: a \u or \U escape is not a character`,
		`name: "\ud83d\ude00\U0010FF5C"`:              `line 1, column 10: a \u or \U escape is not a character`,
		`name: "\ud83d\ude00" CANARY`:                 "line 1, column 22: this does not continue the line above",
		"name: a\n# CANARY\x1b[31m":                   "line 2, column 9: the invisible character U+001B is here; remove it",
		"name: CANARY\ra":                             "line 1, column 13: the invisible character U+000D is here; remove it",
		"name: a\u0085CANARY":                         "line 1, column 8: the invisible character U+0085 is here; remove it",
		"name: a\u2028CANARY":                         "line 1, column 8: the invisible character U+2028 is here; remove it",
		"name: é\ufeffCANARY":                         "line 1, column 8: the invisible character U+FEFF is here; remove it",
		"\ufeff\ufeffname: CANARY":                    "line 1, column 1: the invisible character U+FEFF is here; remove it",
		"name: \xe9CANARY":                            "line 1, column 7: this is not UTF-8 text; save the file as UTF-8",
		"\xff\xfen\x00a\x00":                          "line 1, column 1: this is not UTF-8 text; save the file as UTF-8",
		"name: \xed\xa0\xbdCANARY":                    "line 1, column 7: this is not UTF-8 text; save the file as UTF-8",
		"\ufeffname: CANARY\nos: a":                   "line 2, column 5: os: takes a list",
		"\ufeffos: CANARY":                            "line 1, column 5: os: takes a list",
		strings.Repeat("#", limit+1):                  "it is larger than 1048576 bytes",
	} {
		got := file{Name: "before"}
		err := strictyaml.Decode([]byte(text), limit, &got)
		if err == nil {
			t.Errorf("%q is accepted: %+v", text, got)
			continue
		}
		var problem *strictyaml.Error
		if !errors.As(err, &problem) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		if strings.Contains(err.Error(), "CANARY") || strings.ContainsFunc(err.Error(), strictyaml.Control) {
			t.Errorf("%q: the error quotes it: %q", text, err)
		}
		if got.Name != "before" || got.OS != nil {
			t.Errorf("%q left %+v", text, got)
		}
	}
}

// What a small text could blow up, in time or memory, is refused before it is
// built; what is only long is read. No time is measured: each of these took
// seconds or minutes in a parser without the limits.
func TestBombs(t *testing.T) {
	const size = 40_000
	fill := func(text string) string { return strings.Repeat(text, size/len(text)) }
	grow := func(text string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			b.WriteString(strings.Repeat(" ", i) + text + "\n")
		}
		return b.String()
	}
	var merges, aliases strings.Builder
	merges.WriteString("a: &a {x: y}\n")
	aliases.WriteString("a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for range 25 {
		merges.WriteString("a: &a {<<: [*a, *a]}\n")
		aliases.WriteString("a: &a [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n")
	}
	deep := "the nesting is too deep; 16 levels are allowed"
	for text, want := range map[string]string{
		fill("["): deep, fill("{"): deep, fill("- "): deep, fill("? "): deep, fill("{a: "): deep, fill("[ # x\n"): deep, "a: " + fill("[{a: "): deep,
		grow("a:"): deep, grow("-"): deep, "{" + fill("\"a\":{"): deep, strings.Repeat("[", 17) + strings.Repeat("]", 17): deep,
		strings.Repeat("- ", 9) + strings.Repeat("[", 9) + strings.Repeat("]", 9): deep,
		merges.String(): indicator, aliases.String(): indicator, "a: &a [*a]\n": indicator, fill("- &a b\n"): indicator, fill("- *a\n"): indicator,
		fill("- !!str a\n"): indicator, fill("%FOO x\n"): indicator, fill("---\n"): "a second YAML document", fill("--- a\n"): "a second YAML document",

		"a: |\n" + fill("\n"): "", "a: >\n  b\n" + fill("\n") + "  c\n": "", "a: \"" + fill("\n") + "\"": "", fill("# x\n"): "", "a:\n" + fill("  # x\n") + "  b": "",
		fill("- a # x\n"): "", "[" + fill("[],") + "]": "", "[" + fill("a,") + "]": "", fill("a: b\n"): "", "a: '" + fill("''") + "'": "", "a: " + fill("1"): "",
		"a: b" + fill(" ") + "c": "", "a: b" + fill("#"): "", "\"" + fill(`\ud83d\ude00`) + "\"": "", fill("- \"\\ud83d\\ude00\"\n"): "", "'" + fill(`\`) + "'": "",
		strings.Repeat("[", 16) + strings.Repeat("]", 16): "", strings.Repeat("- ", 16) + "a": "",
	} {
		tree, problem := strictyaml.Parse([]byte(text))
		switch {
		case want == "" && problem != nil:
			t.Errorf("%.20q… is refused: %v", text, problem)
		case want != "" && (problem == nil || !strings.HasPrefix(problem.Problem+"; "+problem.Hint, want)):
			t.Errorf("%.20q…: %v, want %s", text, problem, want)
		case want != "" && tree != nil:
			t.Errorf("%.20q… is refused and came back", text)
		}
	}
}
