package strictyaml_test

import (
	"strings"
	"testing"

	"startup-bundle/internal/strictyaml"
)

type file struct {
	Name string   `yaml:"name"`
	OS   []string `yaml:"os"`
}

func TestFilesAreReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		"name: a\nos: [b]\n": "",
		"":                   "",
		"# nothing\n":        "",
		"name: a\nnam: b\n":  "[2:1]",
		"name: a\nname: b\n": "[2:1]",
		"name: [":            "[1:",
		"os: !PPP x}}":       "look for a tag",
	} {
		var f file
		err := strictyaml.Decode([]byte(text), &f)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
		if want == "" && text != "" && text[0] != '#' && (f.Name != "a" || len(f.OS) != 1) {
			t.Errorf("%q: %+v", text, f)
		}
	}
}
