package packer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/module"
	"startup-bundle/internal/strictyaml"
)

func TestParsePersonality(t *testing.T) {
	web := Personality{Name: "web", Modules: []Use{
		{Module: "java"},
		{Module: "./site", As: "shop", Options: map[string]module.Scalar{"port": "0080", "motd": "a\tb 😀", "on": "yes", "none": ""}},
	}}
	const text = "name: web\nmodules:\n  - java\n  - use: ./site\n    as: shop\n" +
		"    options: {port: 0080, motd: \"a\tb \\ud83d\\ude00\", on: yes, none: }\n"
	for name, text := range map[string]string{
		"as people write it":     text,
		"with a byte order mark": "\ufeff" + text,
		"from Windows":           "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"),
		"as JSON": `{"name": "web", "modules": ["java", {"use": "./site", "as": "shop",
			"options": {"port": "0080", "motd": "a\tb \ud83d\ude00", "on": "yes", "none": ""}}]}`,
	} {
		got, err := ParsePersonality([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(web, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParsePersonalityRefuses(t *testing.T) {
	const head = "name: web\nmodules: [a]\n"
	for text, want := range map[string]string{
		"":                                                "a personality has a name",
		"name: web\n":                                     "modules: it lists none",
		"name: web\nmodules:\n":                           "modules: it lists none",
		"name: web\nmodules: a\n":                         "line 2, column 10: modules: takes a list",
		"name: web\nmodules: [[a]]\n":                     "line 2, column 11: modules: takes names with values",
		"name: web\nmodules: [{usee: a}]\n":               `line 2, column 12: usee: is not a known field; did you mean "use"?`,
		head + "moduls: []\n":                             `line 3, column 1: moduls: is not a known field; did you mean "modules"?`,
		head + "name: b\n":                                "line 3, column 1: name: is given twice",
		head + "trusted_keys:\n":                          "trusted_keys: it holds no public key", // not: without keys, no signature is looked at
		head + "trusted_keys: []\n":                       "trusted_keys: it holds no public key",
		head + "---\n" + head:                             "line 3, column 1: a second YAML document begins here",
		head + "on_failure: &a stop\n":                    "line 3, column 13: a value starts with one of",
		head + "on_failure: \"\\e[31m\"\n":                `on_failure is "\x1b[31m"`,
		head + "\"\\e[31m\": b\n":                         "line 3, column 1: is not a known field",
		"name: \"\\e[31m\"\nmodules: [a]\n":               `name: "\x1b[31m"`,
		"name: web\nmodules: [\"./\\e[31m\"]\n":           "holds a control character",
		"name: web\nmodules: [{use: a, as: \"\\x9b\"}]\n": "holds a control character",
		"name: web\nmodules: [{use: a, options: {b: &c {d: e}, f: {<<: *c}}}]\n":              "a value starts with one of",
		"name: web\nmodules: [{use: a, options: {b: " + strings.Repeat("[", 20_000) + "}}]\n": "the nesting is too deep",
		"#" + strings.Repeat(" ", maxPersonality):                                             "it is larger than 262144 bytes",
	} {
		_, err := ParsePersonality([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
		if err != nil && strings.ContainsFunc(err.Error(), strictyaml.Control) {
			t.Errorf("%.60q: the error moves a terminal's cursor: %q", text, err)
		}
	}
}
