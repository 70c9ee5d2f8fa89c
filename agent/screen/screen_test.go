package screen_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/screen"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func text(t *testing.T, v screen.View) string {
	t.Helper()
	var b bytes.Buffer
	if err := v.Print(&b, screen.Style{Width: screen.Width}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if journal.Columns(strings.TrimSuffix(line, "\n")) > screen.Width && !strings.HasPrefix(line, "      ") {
			t.Errorf("wider than %d columns: %s", screen.Width, line)
		}
	}
	return b.String()
}

func running(modules ...record.Module) *record.Run {
	return &record.Run{Version: 1, State: record.Running, Phase: agent.PhaseModules, StartedAt: now().Add(-time.Hour), Modules: modules}
}

func TestOfManyModulesOnlyThoseThatNeedALookAreShown(t *testing.T) {
	r := running()
	for i := range 40 {
		state := record.Succeeded
		if i > 30 {
			state = record.Pending
		}
		r.Modules = append(r.Modules, record.Module{Name: fmt.Sprintf("m%d", i), State: state})
	}
	began := now().Add(-2 * time.Minute)
	r.Modules[30] = record.Module{Name: strings.Repeat("n", 40), State: record.Running, Attempts: 3, StartedAt: &began}
	got := text(t, screen.View{Run: r, Alive: true, Now: now()})
	for _, want := range []string{"(31 of 40) for\n  2m00s", "and 30 succeeded\n", "and 9 pending\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n > 24 {
		t.Errorf("%d lines are more than a screen:\n%s", n, got)
	}
}

func TestWhatScriptsPrintedMovesNoCursor(t *testing.T) {
	exit := 3
	r := running(record.Module{Name: "m", State: record.Failed, Attempts: 1, ExitCode: &exit, Reason: "a\x1b[2Jb", Tail: []string{"\x1b[31mred\tcell", strings.Repeat("ü", 200)}})
	r.State, r.ExitCode = record.Failed, int(agent.CodeModule)
	if got := text(t, screen.View{Run: r, Now: now()}); strings.ContainsAny(got, "\x1b\t") || !strings.Contains(got, "red    cell") {
		t.Error(got)
	}
}

func TestWideLettersTakeTwoColumns(t *testing.T) {
	wide := strings.Repeat("設定", 100)
	r := running(record.Module{Name: "m", State: record.Failed, Reason: wide, Tail: []string{wide, strings.Repeat("e\u0301", 74)}})
	r.State, r.ExitCode, r.Error = record.Failed, int(agent.CodeFetch), wide
	got := text(t, screen.View{Run: r, Now: now()})
	if n := strings.Count(got, "設"); n < 217 || !strings.Contains(got, strings.Repeat("e\u0301", 74)+"\n") {
		t.Errorf("%d are left of\n%s", n, got)
	}
}

func TestNextTryIsTold(t *testing.T) {
	r, next := running(record.Module{Name: "m", State: record.Running}), now().Add(30*time.Second)
	r.NextRetryAt = &next
	if got := text(t, screen.View{Run: r, Alive: true, Now: now()}); !strings.Contains(got, "the next try is in 30.0s") {
		t.Error(got)
	}
}

func TestLineHasNoTimeSoThatItChangesOnlyWithTheRun(t *testing.T) {
	v := screen.View{Run: running(record.Module{Name: "m", State: record.Running}), Alive: true, Now: now()}
	if got, want := v.Line(), "running: in module m (1 of 1)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A command to copy does what the last start did, on the disk that was looked at,
// as a user who may.
func TestCommandsFitWhatWasLookedAt(t *testing.T) {
	failed := func(change func(*screen.View)) screen.View {
		r := running()
		r.State, r.ExitCode, r.InstanceID = record.Failed, int(agent.CodeFetch), "i-1"
		v := screen.View{Run: r, Now: now()}
		change(&v)
		return v
	}
	for name, test := range map[string]struct {
		v         screen.View
		want, not string
	}{
		"as on the machine itself":   {failed(func(*screen.View) {}), "      startup-agent run\n", "sudo"},
		"that the unit began":        {failed(func(v *screen.View) { v.Run.Unit = agent.Unit }), "      systemctl restart startup-agent\n", "agent run"},
		"the same, as a user":        {failed(func(v *screen.View) { v.Run.Unit, v.Public = agent.Unit, true }), "      sudo systemctl restart startup-agent\n", "agent run"},
		"the unit's, elsewhere":      {failed(func(v *screen.View) { v.Run.Unit, v.Root = agent.Unit, "/mnt" }), "      startup-agent logs --root /mnt\n", "systemctl"},
		"with userdata from a file":  {failed(func(v *screen.View) { v.Run.Userdata = "/a b" }), "      startup-agent run --userdata '/a b'\n", ""},
		"a disk of another machine":  {failed(func(v *screen.View) { v.Root = "/mnt" }), "      startup-agent logs --root /mnt\n", "agent run"},
		"who may not read the logs":  {failed(func(v *screen.View) { v.Public = true }), "      sudo startup-agent logs\n", "  startup-agent"},
		"nothing, here":              {screen.View{Now: now()}, "      systemctl status startup-agent.service\n  - or run the agent by hand:\n      startup-agent run\n", ""},
		"nothing, on another's disk": {screen.View{Now: now(), Root: "/mnt"}, "      systemctl --root /mnt is-enabled startup-agent.service\n", "agent run"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(t, test.v); !strings.Contains(got, test.want) || test.not != "" && strings.Contains(got, test.not) {
				t.Error(got)
			}
		})
	}
}

// Whoever may not read the record still learns the state, and whether it is true.
func TestUnprivileged(t *testing.T) {
	for name, test := range map[string]struct {
		pid  int
		boot string
		want agent.Code
	}{
		"the agent runs":                 {os.Getpid(), bootID(t), agent.CodeRunning},
		"it ran in another boot":         {os.Getpid(), "another", agent.CodeInterrupted},
		"its process is gone":            {1 << 30, bootID(t), agent.CodeInterrupted},
		"a record that names no process": {0, "", agent.CodeRunning},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			paths := agent.Paths{Root: root}
			if err := os.MkdirAll(filepath.Dir(paths.Status()), 0o755); err != nil {
				t.Fatal(err)
			}
			r := running()
			r.PID, r.BootID = test.pid, test.boot
			if err := record.Publish(paths.Status(), r); err != nil {
				t.Fatal(err)
			}
			// Root may open anything: a file in the folder's place gives another
			// error than "not there", as a folder does that may not be entered.
			if err := os.MkdirAll(filepath.Dir(paths.State()), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(paths.State(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			v := screen.Look(root, now())
			if v.Code() != test.want {
				t.Errorf("code %d, want %d", v.Code(), test.want)
			}
			if got := v.Result(); got.ExitCode != 0 && got.ExitCode != int(v.Code()) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func bootID(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
