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
		"a quoted last line": {before: "name: web\nmodules:\n  - use: java\n    options: {a: \"x # y\"}\n", entry: "  - " + added + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := appended([]byte(test.before+test.after), packer.Use{Module: added, As: test.as})
			if want := test.before + test.entry + test.after; err != nil || string(got) != want {
				t.Errorf("error %v\n%s\nwanted\n%s", err, got, want)
			}
		})
	}
	got, err := appended([]byte("name: web\nmodules:\n  - java"), packer.Use{Module: added})
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
	// An option of the same text would be changed too: that is noticed.
	if got, err := replaced([]byte(strings.ReplaceAll(text, `team/hello"`, `team/hello:1.2"`)), added, "./modules/hello"); err == nil {
		t.Errorf("an option was changed:\n%s", got)
	}
}
