package collect_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/collect"
)

// Names of what is in an archive of a folder with these files.
func collected(t *testing.T, files ...string) []string {
	t.Helper()
	root := t.TempDir()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	names, _, err := collect.Write(t.Context(), &archive, collect.Options{Root: root, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestOlderLogsAreTakenToo(t *testing.T) {
	paths := agent.Paths{}
	names := collected(t, paths.Log(), paths.Log()+".1", paths.ModuleLog("m"), paths.ModuleLog("m")+".1", paths.ModuleLog("n"))
	for _, want := range []string{"agent.jsonl", "agent.jsonl.1", "modules/m.log", "modules/m.log.1", "modules/n.log"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %q", want, names)
		}
	}
	if slices.Contains(names, "modules/n.log.1") {
		t.Errorf("%q", names)
	}
}
