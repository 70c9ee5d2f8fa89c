package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecordsOfOlderAndNewerAgentsAreRead(t *testing.T) {
	tests := map[string]struct {
		text    string
		state   State
		problem string
	}{
		"older, without what came later":    {text: `{"version":1,"instance_id":"i-1","state":"failed","modules":[{"name":"a","state":"succeeded"}]}`, state: Failed},
		"newer, with what this one ignores": {text: `{"version":1,"state":"succeeded","bundle":{"name":"b","colour":"red"},"later":{"x":[1]}}`, state: Succeeded},
		"a state from the future":           {text: `{"version":1,"state":"paused"}`, state: "paused"},
		"a version from the future":         {text: `{"version":2,"state":"failed"}`, problem: "its version is 2, and this agent knows 1"},
		"no version":                        {text: `{}`, problem: "its version is 0"},
		"cut off":                           {text: `{"version":1,"st`, problem: "it is no JSON"},
		"empty":                             {text: ``, problem: "it is no JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record.json")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Load(path)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want %q", err, test.problem)
				}
				return
			}
			if err != nil || r.State != test.state {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrNone) {
		t.Errorf("no record: %v", err)
	}
}

func TestSavedIsLoadedAndThePublicCopyHidesOutput(t *testing.T) {
	dir := t.TempDir()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	code := 3
	want := &Run{
		Version: Version, InstanceID: "i-1", State: Failed, StartedAt: began, EndedAt: &began,
		Modules: []Module{{Name: "a", State: Failed, ExitCode: &code, Tail: []string{"said at the end"}}},
	}
	if err := Save(filepath.Join(dir, "record.json"), want); err != nil {
		t.Fatal(err)
	}
	if err := Publish(filepath.Join(dir, "status.json"), want); err != nil {
		t.Fatal(err)
	}
	got, err := Load(filepath.Join(dir, "record.json"))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
	public, err := Load(filepath.Join(dir, "status.json"))
	if err != nil || public.Modules[0].Tail != nil || want.Modules[0].Tail == nil {
		t.Errorf("%+v, %v", public, err)
	}
	for name, mode := range map[string]os.FileMode{"record.json": 0o600, "status.json": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFailedSaveKeepsTheOldRecord(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record.json")
	if err := Save(path, &Run{Version: Version, State: Succeeded}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+".new/full", 0o700); err != nil { // in the way of the temporary file
		t.Fatal(err)
	}
	if err := Save(path, &Run{Version: Version, State: Failed}); err == nil {
		t.Error("nothing went wrong")
	}
	if r, err := Load(path); err != nil || r.State != Succeeded {
		t.Errorf("%+v, %v", r, err)
	}
}
