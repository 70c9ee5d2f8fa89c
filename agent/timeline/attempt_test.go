package timeline_test

import (
	"strings"
	"testing"
)

// An attempt that asked for another is no success, a failed check no failed start, and the
// title has the run's own time, not that of its hooks.
func TestHowAttemptsEnd(t *testing.T) {
	for name, test := range map[string]struct{ ended, want string }{
		"a retry":                  {`"state":"pending","exit_code":75`, "▒▒                           1.0s, asked for a retry\n"},
		"a reboot":                 {`"state":"pending","exit_code":194`, "▒▒                           1.0s, asked for a reboot\n"},
		"a failed check":           {`"state":"failed","exit_code":0,"check":"failed","check_exit_code":7`, "▓▓                           1.0s, check failed, exit 7\n"},
		"a check that was stopped": {`"state":"failed","exit_code":0,"check":"failed"`, "▓▓                           1.0s, check failed\n"},
		"a success":                {`"state":"succeeded","exit_code":0`, "██                           1.0s\n"},
	} {
		got := draw(t, `{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"agent started","uptime":5000}
{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"module started","phase":"modules","module":"web","attempt":1,"uptime":5000}
{"level":"info","time":"2026-01-02T03:04:06.000Z","msg":"module ended","phase":"modules","module":"web","duration":1,"uptime":5001,`+test.ended+`}
{"level":"error","time":"2026-01-02T03:04:09.000Z","msg":"run failed","exit_code":15,"duration":1,"uptime":5004}
`)
		if !strings.Contains(got, test.want) || !strings.HasPrefix(got, "run: failed, 1.0s,") || strings.Contains(got, "boot ") {
			t.Errorf("%s: no %q in\n%s", name, test.want, got)
		}
	}
}
