package agent

import (
	"os"
	"path/filepath"
	"testing"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
)

func TestABundleThatLostItsManifestIsNotTakenForOneMadeByHand(t *testing.T) {
	m := newMachine(t, document.Document{},
		script{name: "b", start: `echo b >>"$root/ran"`},
		script{name: "a", start: `echo a >>"$root/ran"; [ -e "$root/mended" ]`})
	if code := m.start(nil); code != CodeModule {
		t.Fatalf("exit code %d, want %d\n%s", code, CodeModule, m.log.String())
	}
	m.write(filepath.Join(m.root(), "mended"), "", 0o600)
	if err := os.Remove(filepath.Join(m.paths().Bundle(), bundle.Top, bundle.ManifestName)); err != nil {
		t.Fatal(err)
	}
	if code := m.start(nil); code != CodeDone {
		t.Fatalf("exit code %d, want %d\n%s", code, CodeDone, m.log.String())
	}
	if got, want := m.read("ran"), "b\na\na\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}
