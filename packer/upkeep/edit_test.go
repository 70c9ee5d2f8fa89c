package upkeep

import (
	"strings"
	"testing"

	"startup-bundle/packer"
)

const added = "oci://registry.example/team/hello:1.2"

func TestAppendedKeepsAllElse(t *testing.T) {
	for name, test := range map[string]struct {
		before, entry string
		as            string
		after         string // what follows the entry
	}{
		"a plain list":       {before: "name: web\nmodules:\n  - java\n", entry: "  - " + added + "\n"},
		"no indent":          {before: "name: web\nmodules:\n- java\n", entry: "- " + added + "\n"},
		"another name":       {before: "name: web\nmodules:\n  - java\n", as: "other", entry: "  - use: " + added + "\n    as: other\n"},
		"comments":           {before: "# mine\nname: web # really\nmodules: # these\n  # first\n  - java # the runtime\n", entry: "  - " + added + "\n", after: "# the end\n"},
		"keys after it":      {before: "name: web\nmodules:\n  - java\n", entry: "  - " + added + "\n", after: "on_failure: continue\n"},
		"options":            {before: "name: web\nmodules:\n  - use: java\n    options:\n      heap: 1g\n", entry: "  - " + added + "\n", after: "on_failure: stop\n"},
		"options in braces":  {before: "name: web\nmodules:\n  - use: java\n    options: {heap: 1g, a: b}\n", entry: "  - " + added + "\n", after: "\non_failure: stop\n"},
		"a text of lines":    {before: "name: web\nmodules:\n  - use: tinydns\n    options:\n      records: |\n        .a:10.0.0.2:a\n        +b.a:10.0.0.3\n", entry: "  - " + added + "\n", after: "on_failure: stop\n"},
		"text and comment":   {before: "name: web\nmodules:\n- use: tinydns\n  options:\n    records: |\n      # a\n      .b\n      # c\n", entry: "- " + added + "\n", after: "\n# the end\non_failure: stop\n"},
		"a comment after":    {before: "name: web\nmodules:\n- use: tinydns\n  options:\n    records: |\n      .b\n", entry: "- " + added + "\n", after: "  # the end\non_failure: stop\n"},
		"blank lines kept":   {before: "name: web\nmodules:\n- use: tinydns\n  options:\n    records: |+\n      .b\n\n\n", entry: "- " + added + "\n", after: "# the end\n"},
		"blank lines not":    {before: "name: web\nmodules:\n- use: tinydns\n  options:\n    records: |\n      .b\n", entry: "- " + added + "\n", after: "\n\non_failure: stop\n"},
		"braces over lines":  {before: "name: web\nmodules:\n- use: java\n  options: {heap: 1g, # x\n    a: b\n    }\n", entry: "- " + added + "\n", after: "# the end\non_failure: stop\n"},
		"quotes over lines":  {before: "name: web\nmodules:\n- use: java\n  options:\n    a: \"x\n\n      # y\n      z\"\n", entry: "- " + added + "\n", after: "on_failure: stop\n"},
		"no value":           {before: "name: web\nmodules:\n- use: java\n  options:\n", entry: "- " + added + "\n", after: "  # none\non_failure: stop\n"},
		"marks and accents":  {before: "\ufeff# \u00e9\nname: web\nmodules:\n- use: java\n  options: {a: \"\u00e9\\ud83d\\ude00\"}\n", entry: "- " + added + "\n", after: "# the end\n"},
		"a quoted last line": {before: "name: web\nmodules:\n  - use: java\n    options: {a: \"x # y\"}\n", entry: "  - " + added + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := appended([]byte(test.before+test.after), packer.Use{Module: added, As: test.as})
			if want := test.before + test.entry + test.after; err != nil || string(got) != want {
				t.Errorf("error %v\n%s\nwanted\n%s", err, got, want)
			}
		})
	}
	got, err := appended([]byte("name: web\r\nmodules:\r\n- java\r\n"), packer.Use{Module: added, As: "b"})
	if err != nil || string(got) != "name: web\r\nmodules:\r\n- java\r\n- use: "+added+"\r\n  as: b\r\n" {
		t.Errorf("with CRLF line ends: %v\n%q", err, got)
	}
	got, err = appended([]byte("name: web\nmodules:\n  - java"), packer.Use{Module: added})
	if err != nil || string(got) != "name: web\nmodules:\n  - java\n  - "+added+"\n" {
		t.Errorf("without an end of line: %v\n%s", err, got)
	}
}

func TestWhatCannotBeEditedIsLeftToPeople(t *testing.T) {
	for name, text := range map[string]string{
		"a list in brackets": "name: web\nmodules: [java]\n",
		"JSON":               `{"name": "web", "modules": ["java"]}`,
		"two documents":      "name: web\nmodules:\n  - java\n---\nname: web\nmodules:\n  - java\n",
		"no list":            "name: web\n",
	} {
		if got, err := appended([]byte(text), packer.Use{Module: added}); err == nil {
			t.Errorf("%s:\n%s", name, got)
		}
		if got, err := replaced([]byte(text), "java", "perl"); err == nil {
			t.Errorf("%s, replaced:\n%s", name, got)
		}
	}
}

func TestReplacedChangesTheReferenceAlone(t *testing.T) {
	const text = `name: web
# oci://registry.example/team/hello:1.2 is ours
modules:
  - java # no oci://registry.example/team/hello:1.2
  - oci://registry.example/team/hello:1.2   # pinned
  - use: oci://registry.example/team/hello:1.2
    as: again
    options: {greeting: "oci://registry.example/team/hello"}
`
	want := strings.NewReplacer("  - oci://registry.example/team/hello:1.2 ", "  - ./modules/hello ",
		"use: oci://registry.example/team/hello:1.2", "use: ./modules/hello").Replace(text)
	got, err := replaced([]byte(text), added, "./modules/hello")
	if err != nil || string(got) != want {
		t.Errorf("error %v\n%s", err, got)
	}
	// An option of the same text is none of it.
	same := func(text string) string { return strings.ReplaceAll(text, `team/hello"`, `team/hello:1.2"`) }
	if got, err = replaced([]byte(same(text)), added, "./modules/hello"); err != nil || string(got) != same(want) {
		t.Errorf("error %v\n%s", err, got)
	}
	for before, want := range map[string]string{
		"modules:\n- \"a b\" # a b\n- {as: \"x\", use: 'a b'}\n":                         "modules:\n- \"./c\" # a b\n- {as: \"x\", use: './c'}\n",
		"modules:\n- use: a b\n  options: {use: a b}\n- {options: {a: a b}, use: a b}\n": "modules:\n- use: ./c\n  options: {use: a b}\n- {options: {a: a b}, use: ./c}\n",
		"modules:\n- a\n  b\n":      "",
		"modules:\n- \"a\\x20b\"\n": "",
	} {
		for _, head := range []string{"name: web\n", "\ufeff# mine\nname: web\n"} {
			got, err := replaced([]byte(head+before), "a b", "./c")
			if want == "" && err == nil || want != "" && (err != nil || string(got) != head+want) {
				t.Errorf("%q: error %v\n%q", head+before, err, got)
			}
		}
	}
}
