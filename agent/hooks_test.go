package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/agent/record"
	"startup-bundle/internal/document"
)

// Hooks that did not do their work are recorded until the next run, and change nothing else.
func TestFailedHooksAreRecorded(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "true", run: "every-boot"})
	hook := func(name string) string { return filepath.Join(m.paths().Hooks(), name) }
	m.write(hook("10-good"), "#!/bin/sh\n", 0o755)
	m.write(hook("20-bad"), "#!/bin/sh\nexit 3\n", 0o755)
	if err := os.Symlink("/no/such/hook", hook("30-dead")); err != nil {
		t.Fatal(err)
	}
	m.want(CodeDone)
	for _, path := range []string{m.paths().Record(), m.paths().Status()} {
		r, err := record.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Hooks) != 2 || r.Hooks[0].Path != hook("20-bad") || r.Hooks[1].Path != hook("30-dead") || r.State != record.Succeeded {
			t.Fatalf("%s: %+v", path, r)
		}
		if bad, dead := r.Hooks[0].Reason, r.Hooks[1].Reason; !strings.Contains(bad, "status 3: see "+m.paths().HookLog()) ||
			dead != "it is a link to /no/such/hook, which does not exist" {
			t.Errorf("%s: %q, %q", path, bad, dead)
		}
	}
	for _, name := range []string{"20-bad", "30-dead"} {
		if err := os.Remove(hook(name)); err != nil {
			t.Fatal(err)
		}
	}
	m.boot = "boot-2"
	m.want(CodeDone)
	if r, err := record.Load(m.paths().Record()); err != nil || r.Hooks != nil {
		t.Errorf("%+v, %v", r, err)
	}
}
