package screen_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/screen"
)

func styled(t *testing.T, v screen.View, style screen.Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := v.Print(&b, style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func failedWith(tail ...string) screen.View {
	exit := 3
	r := running(record.Module{Name: "web", State: record.Failed, Attempts: 1, ExitCode: &exit, Reason: "it exited with status 3: see its log", Tail: tail})
	r.State, r.ExitCode = record.Failed, int(agent.CodeModule)
	return screen.View{Run: r, Now: now()}
}

// Nothing of what a module printed is left out, whatever the width, and the lines are
// put together again without the marks.
func TestFailingLineIsWhole(t *testing.T) {
	long := "bash: /tmp/" + strings.Repeat("a-folder/設定/", 40) + "start: line 7: syntax error near unexpected token `fi'"
	v := failedWith("first", long, "last")
	if got := styled(t, v, screen.Style{}); !strings.Contains(got, "\n  | "+long+"\n") {
		t.Errorf("in a pipe:\n%s", got)
	}
	for _, width := range []int{1, 48, 72, 80, 132, 200} {
		got := styled(t, v, screen.Style{Width: width})
		for line := range strings.Lines(got) {
			if n := journal.Columns(strings.TrimSuffix(line, "\n")); n > max(width, 48) && !strings.HasPrefix(line, "      startup-agent") {
				t.Errorf("%d columns: %d in %s", width, n, line)
			}
		}
		if joined := strings.ReplaceAll(got, "\n  |   ", ""); !strings.Contains(joined, "  | "+long+"\n") {
			t.Errorf("%d columns: the line is not whole in\n%s", width, got)
		}
	}
}

// Colours change nothing but the colour, and escapes that a module printed stay harmless.
func TestColoursAddNothingElse(t *testing.T) {
	v := failedWith("\x1b[2Jcleared")
	plain, colored := styled(t, v, screen.Style{Width: 80}), styled(t, v, screen.Style{Width: 80, Color: true})
	if !strings.Contains(colored, "\x1b[31mfailed") || strings.Contains(colored, "\x1b[2J") {
		t.Errorf("%q", colored)
	}
	if got := regexp.MustCompile(`\x1b\[[0-9]+m`).ReplaceAllString(colored, ""); got != plain {
		t.Errorf("without its colours:\n%s\nwant\n%s", got, plain)
	}
	v.Run.Modules[0].Name = "web\x1b[2J"
	if got := styled(t, v, screen.Style{}); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// A check that failed is told from a start that did, with what the check said.
func TestCheckThatFailedIsAStateOfItsOwn(t *testing.T) {
	v := failedWith("curl: (7) Failed to connect")
	began, ended, start, check := now().Add(-time.Minute), now(), 0, 7
	m := &v.Run.Modules[0]
	m.BeganAt, m.EndedAt, m.ExitCode, m.Check, m.CheckCode, m.Seconds = &began, &ended, &start, record.CheckFailed, &check, 0.004
	m.Reason = "its start succeeded, but its check failed: it exited with status 7: see its log"
	got := styled(t, v, screen.Style{})
	for _, want := range []string{"\nweb     check failed   1m00s         1  7\n", "start succeeded, but its check failed", "its check said:\n  | curl: (7)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestFailedHookIsShown(t *testing.T) {
	r := running()
	r.State, r.Hooks = record.Succeeded, []record.Hook{{Path: "/etc/startup-agent/hooks.d/webhook", Reason: "it exited with status 3"}}
	got := styled(t, screen.View{Run: r, Now: now()}, screen.Style{Width: 200})
	if want := "\nhook /etc/startup-agent/hooks.d/webhook did not do its work: it exited with status 3\n"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
}
