package timeline_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/timeline"
)

// jumped returns a log whose clock was set by d before its nth line. With uptimes, each
// line but output has the machine's uptime, which a clock that is set does not change.
func jumped(t *testing.T, text string, n int, d time.Duration, uptimes bool) string {
	t.Helper()
	var out strings.Builder
	var first time.Time
	for i, line := range strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n") {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, fields["time"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = at
		}
		if uptimes && fields["msg"] != journal.MessageOutput {
			fields["uptime"] = 4 + at.Sub(first).Seconds()
		}
		if i >= n {
			at = at.Add(d)
		}
		fields["time"] = at.Format(time.RFC3339Nano)
		bad, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(string(bad) + "\n")
	}
	return out.String()
}

func jumps() []time.Duration {
	const year = 365 * 24 * time.Hour
	return []time.Duration{50 * year, -50 * year, 24 * time.Hour, -24 * time.Hour, time.Hour, -time.Hour, -time.Second}
}

// A clock that is set in the middle of a run changes nothing of its chart.
func TestClockThatIsSetMovesNoBar(t *testing.T) {
	lines := strings.Count(log+end, "\n")
	want := draw(t, jumped(t, log+end, lines, 0, true))
	for _, d := range jumps() {
		for n := 1; n < lines; n++ {
			if diff := cmp.Diff(want, draw(t, jumped(t, log+end, n, d, true))); diff != "" {
				t.Errorf("set by %v before line %d: %s", d, n, diff)
			}
		}
	}
}

// Logs of older agents have the uptime in their first line alone: what is not known is
// left out, never a day or less than nothing.
func TestClockThatIsSetInAnOlderLog(t *testing.T) {
	lines := strings.Count(log+end, "\n")
	for _, d := range jumps() {
		for n := 1; n < lines; n++ {
			got, err := timeline.Read(strings.NewReader(jumped(t, log+end, n, d, false)))
			if err != nil {
				t.Fatal(err)
			}
			most := 6 * time.Second
			if d > 0 && d < 24*time.Hour {
				most += d // it cannot be told from an hour that passed
			}
			if d == 24*time.Hour {
				most += d
			}
			if got.End < 3*time.Second || got.End > most {
				t.Errorf("set by %v before line %d: %v", d, n, got.End)
			}
			for _, s := range got.Spans {
				if s.To < s.From || s.To > got.End {
					t.Errorf("set by %v before line %d: %+v", d, n, s)
				}
			}
		}
	}
}

// A run that goes on lasts until now by the machine's uptime, whatever the clock says.
func TestClockThatIsSetBeforeNow(t *testing.T) {
	lines := strings.Count(log, "\n")
	for _, d := range jumps() {
		got, err := timeline.Read(strings.NewReader(jumped(t, log, lines, 0, true)))
		if err != nil {
			t.Fatal(err)
		}
		if got.GoesOn(got.Started.Add(time.Minute+d), 64*time.Second); got.End != time.Minute {
			t.Errorf("set by %v: %v", d, got.End)
		}
	}
}
