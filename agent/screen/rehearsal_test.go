package screen_test

import (
	"strings"
	"testing"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
	"startup-bundle/agent/screen"
	"startup-bundle/internal/rehearsal"
)

// After a rehearsal the advice is to rehearse again, and to read only what stays.
func TestAdviceAfterARehearsal(t *testing.T) {
	const again = "startup-packer rehearse web.yaml --keep there"
	ended := func(state record.State, code agent.Code, m record.State) *record.Run {
		at := now()
		r := running(record.Module{Name: "site", State: m, Reason: "it exited with status 3: see its log"})
		r.State, r.ExitCode, r.EndedAt = state, int(code), &at
		return r
	}
	for name, test := range map[string]struct {
		run       *record.Run
		kept      []string // the commands named when the root stays
		forgotten []string // and when it does not
	}{
		"a module failed": {
			ended(record.Failed, agent.CodeModule, record.Failed), []string{"startup-agent logs site --root /r", again}, []string{again},
		},
		"the bundle could not be opened": {
			ended(record.Failed, agent.CodeOpen, record.Pending), []string{"startup-agent logs --root /r", again}, []string{again},
		},
		"it was interrupted": {
			ended(record.Interrupted, agent.CodeInterrupted, record.Interrupted), []string{"startup-agent logs --root /r", again}, []string{again},
		},
		"it was killed": {
			running(record.Module{Name: "site", State: record.Running}), []string{"startup-agent logs --root /r", again}, []string{again},
		},
		"it succeeded": {ended(record.Succeeded, agent.CodeDone, record.Succeeded), nil, nil},
	} {
		for kept, want := range map[bool][]string{true: test.kept, false: test.forgotten} {
			v := screen.View{Run: test.run, Now: now().Add(time.Second), Root: "/r", Rehearsal: &rehearsal.Note{Again: again, Kept: kept}}
			got := text(t, v)
			var commands []string
			for line := range strings.Lines(got) {
				if command, ok := strings.CutPrefix(line, "      "); ok {
					commands = append(commands, strings.TrimSpace(command))
				}
			}
			if strings.Join(commands, "\n") != strings.Join(want, "\n") || strings.Contains(got, "next start") {
				t.Errorf("%s, kept %v: commands %q, want %q, in\n%s", name, kept, commands, want, got)
			}
		}
	}
}

func TestTheNoteOfARehearsalIsFound(t *testing.T) {
	root := t.TempDir()
	if v := screen.Look(root, now()); v.Rehearsal != nil {
		t.Errorf("a note where there is none: %+v", v.Rehearsal)
	}
	want := rehearsal.Note{Again: "startup-packer rehearse 'a b.yaml'", Kept: true}
	if err := want.Write(root); err != nil {
		t.Fatal(err)
	}
	if v := screen.Look(root, now()); v.Rehearsal == nil || *v.Rehearsal != want {
		t.Errorf("got %+v, want %+v", v.Rehearsal, want)
	}
}
