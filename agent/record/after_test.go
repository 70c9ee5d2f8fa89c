package record

import (
	"testing"
	"time"
)

// Which of two records is the later one does not depend on a clock that is set.
func TestAfterWithAClockThatIsSet(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	ended := at.Add(time.Second)
	tests := map[string]struct {
		public, recorded Run
		want             bool
	}{
		"the same start":                       {Run{StartedAt: at, BootID: "b"}, Run{StartedAt: at, BootID: "b"}, false},
		"the same start, ended":                {Run{StartedAt: at, BootID: "b", EndedAt: &ended}, Run{StartedAt: at, BootID: "b"}, true},
		"later":                                {Run{StartedAt: at.Add(1)}, Run{StartedAt: at}, true},
		"earlier":                              {Run{StartedAt: at}, Run{StartedAt: at.Add(1)}, false},
		"later, by a clock set back":           {Run{StartedAt: at.Add(-year), BootID: "b", StartedUptime: 9}, Run{StartedAt: at, BootID: "b", StartedUptime: 5}, true},
		"earlier, by a clock set back":         {Run{StartedAt: at.Add(year), BootID: "b", StartedUptime: 5}, Run{StartedAt: at, BootID: "b", StartedUptime: 9}, false},
		"in a later boot, by a clock set back": {Run{StartedAt: at.Add(-50 * year), BootID: "c", StartedUptime: 5}, Run{StartedAt: at, BootID: "b", StartedUptime: 9}, true},
		"of agents that did not write uptimes": {Run{StartedAt: at.Add(1), BootID: "b"}, Run{StartedAt: at, BootID: "b", StartedUptime: 9}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.public.After(&test.recorded); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
