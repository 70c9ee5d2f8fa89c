package collection_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/packer"
	"startup-bundle/packer/collection"
)

// The documentation of the standard modules is generated: it must be what they
// declare today.
func TestStandardModulesAreDocumented(t *testing.T) {
	entries, err := collection.List("../../modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		found, err := packer.Lint(t.Context(), e.Dir, "")
		if err != nil {
			t.Fatal(err)
		}
		more, err := collection.Lint(t.Context(), e.Dir, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range append(found, more...) {
			t.Errorf("%s: %s: %s", f.Path, f.Level, f.Problem)
		}
		if !e.HasCheck || e.Version == "" || e.Summary == "" || len(e.OS) == 0 || len(e.Tried) == 0 {
			t.Errorf("%s lacks a check, a version, a summary, its systems, or where it was tried", e.Name)
		}
	}
	text, err := os.ReadFile("../../docs/modules.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(collection.Markdown(entries), string(text)); diff != "" {
		t.Errorf("docs/modules.md is not what the modules declare; write it with startup-packer module list --markdown: %s", diff)
	}
}
