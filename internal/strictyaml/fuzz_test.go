package strictyaml_test

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"startup-bundle/internal/strictyaml"
)

// canary stands in every value of the fuzzed texts, and never in an error.
const canary = "cAnArY7"

// FuzzDecode holds that no text crashes the reader, that a problem has its place
// in the text and quotes none of it, that a byte order mark and CRLF line ends
// change nothing, and that what is decoded survives being written and read again.
func FuzzDecode(f *testing.F) {
	for _, c := range suite(f) {
		f.Add(c.YAML)
	}
	for _, text := range []string{
		"name: X\nos: [X]\ncount: 7\nsigned: true\ndefault: X\noptions:\n  a: |+\n    X\n\n",
		"modules:\n- X\n- use: X\n  options: {b: X}\n",
		`{"name": "X\ud83d\ude00", "options": {"a": "\\ud83d\ude00"}}`,
		"name: &X\nos: *X", "name: !X\n", "X: X\nX: X", "\ufeffname: \"X\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "X", canary)
		tree, problem := strictyaml.Parse([]byte(text))
		if problem != nil {
			quotesNothing(t, text, problem)
			return
		}
		plain := strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
		for _, same := range []string{plain, "\ufeff" + plain, strings.ReplaceAll(plain, "\n", "\r\n")} {
			again, problem := strictyaml.Parse([]byte(same))
			if problem != nil || shown(again.Root) != shown(tree.Root) {
				t.Fatalf("%q is read otherwise as %q: %v", text, same, problem)
			}
		}
		for n := range scalars(tree.Root) {
			rest, ok := tree.After(n)
			if ok && n.Style == 0 && rest != "" && !strictyaml.Null(n) && !strings.ContainsAny(rest[:1], " \t:,]}") {
				t.Fatalf("%q: %q follows %q on its line", text, rest, n.Value)
			}
		}
		var got file
		if err := strictyaml.Decode([]byte(text), len(text), &got); err != nil {
			quotesNothing(t, text, err)
			return
		}
		written, err := strictyaml.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again file
		if err := strictyaml.Decode(written, len(written), &again); err != nil {
			t.Fatalf("%q became %q: %v", text, written, err)
		}
		if twice, err := strictyaml.Marshal(again); err != nil || string(twice) != string(written) {
			t.Fatalf("%q became %q and %q: %v", text, written, twice, err)
		}
	})
}

func quotesNothing(t *testing.T, text string, err error) {
	t.Helper()
	if strings.Contains(err.Error(), canary) || strings.ContainsFunc(err.Error(), strictyaml.Control) {
		t.Fatalf("%q: the error quotes it: %q", text, err)
	}
	problem, ok := err.(*strictyaml.Error) //nolint:errorlint // it is this or a fault
	if lines := strings.Count(text, "\n") + 1; !ok || problem.Line < 1 || problem.Line > lines || problem.Column < 1 {
		t.Fatalf("%q has no place for %v", text, err)
	}
}

// scalars yields the single values of a tree.
func scalars(n *strictyaml.Node) func(yield func(*strictyaml.Node) bool) {
	return func(yield func(*strictyaml.Node) bool) {
		var walk func(*strictyaml.Node) bool
		walk = func(n *strictyaml.Node) bool {
			if n.Kind == yaml.ScalarNode {
				return yield(n)
			}
			for _, child := range n.Content {
				if !walk(child) {
					return false
				}
			}
			return true
		}
		if n != nil {
			walk(n)
		}
	}
}
