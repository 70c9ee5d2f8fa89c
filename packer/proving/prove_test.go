package proving

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/module"
)

func number(n int) *int { return &n }

func TestCountChanges(t *testing.T) {
	for _, test := range []struct {
		name, log string
		want      *int
	}{
		{name: "a script that does not count", log: "hello\n"},
		{"nothing changed", "changes: 0\n", number(0)},
		{"start, then check", "changed: x\nchanges: 1\nchanges: 0\n", number(1)},
		{"words of a program", "the changes: 3\nchanges: many\nchanges: 0\n", number(0)},
		{"a number out of range", "changes: 99999999999999999999\n", number(1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, countChanges(test.log)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	good := Module{Name: "a", State: "succeeded", Check: "good", Changes: number(0)}
	for _, test := range []struct {
		name         string
		modules      []Module
		want, reason string
	}{
		{"all is good", []Module{good}, Passed, ""},
		{"no count, no check", []Module{{Name: "a", State: "succeeded", Check: "none"}}, Passed, ""},
		{"a change", []Module{good, {Name: "b", State: "succeeded", Check: "good", Changes: number(2)}}, Failed, "started again, b made 2 changes"},
		{"a bad check", []Module{{Name: "b", State: "succeeded", Check: "failed"}, good}, Failed, "the check of b"},
		{"all skipped", []Module{{Name: "a", State: "skipped", Check: "not-run"}}, Skipped, ""},
		{"one skipped", []Module{good, {Name: "b", State: "skipped"}}, Passed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Result{Modules: test.modules}
			r.judge()
			if r.Result != test.want || !strings.HasPrefix(r.Reason, test.reason) || (r.Reason == "") != (test.reason == "") {
				t.Errorf("%s: %s", r.Result, r.Reason)
			}
		})
	}
}

func TestGivenOptionsGoBeforeThoseOfTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "thing")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, NeedsFile), []byte("options: {a: one, b: x$DISK}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := readSubject(t.Context(), Options{Source: dir, Given: map[string]module.Scalar{"a": "two"}})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: t.TempDir()}
	file, err := m.write(s, "/dev/loop9")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"modules":[{"use":"` + dir + `","options":{"a":"two","b":"x/dev/loop9"}}],"name":"thing"}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}
