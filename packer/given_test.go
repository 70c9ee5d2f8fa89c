package packer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/module"
)

func TestParseGiven(t *testing.T) {
	got, err := ParseGiven([]string{"site.port=8080", "site.text=a=b.c", "data.mount=", "site.port=81"})
	want := Given{"site": {"port": "81", "text": "a=b.c"}, "data": {"mount": ""}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "hunter2", "port=hunter2", ".port=hunter2", "site.=hunter2", "=hunter2", "site.port"} {
		_, err := ParseGiven([]string{text})
		if err == nil || !strings.Contains(err.Error(), "NAME.KEY=VALUE") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is given goes before the personality's options, which go before defaults,
// for the module of that name in the bundle alone.
func TestGivenOptions(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p.yaml":                "name: p\nmodules: [{use: m, options: {a: file, b: file}}, {use: m, as: n, options: {a: file}}]\n",
		"modules/m/start":       "#!/bin/sh\n",
		"modules/m/module.yaml": "options: {a: {default: d}, b: {default: d}, c: {default: d}}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plan := func(g Given) (*Planned, error) {
		return Plan(context.Background(), Options{Source: filepath.Join(dir, "p.yaml"), Given: g})
	}
	got, err := plan(Given{"m": {"a": "given"}, "n": {"c": "given"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{{"OPT_A": "given", "OPT_B": "file", "OPT_C": "d"}, {"OPT_A": "file", "OPT_B": "d", "OPT_C": "given"}}
	for i, m := range got.Modules {
		if diff := cmp.Diff(want[i], m.Env); diff != "" {
			t.Errorf("%s (-want +got):\n%s", m.Name, diff)
		}
	}
	for name, given := range map[string]Given{"a module that is not there": {"o": {"a": "x"}}, "an option that is not": {"m": {"e": module.Scalar("x")}}} {
		if _, err := plan(given); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
