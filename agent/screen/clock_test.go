package screen_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/screen"
)

// A clock that was set since the run began does not change for how long it has run.
func TestClockThatIsSetDuringARun(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, d := range []time.Duration{0, 50 * year, -50 * year, 24 * time.Hour, -24 * time.Hour} {
		paths := agent.Paths{Root: t.TempDir()}
		for _, dir := range []string{paths.State(), filepath.Dir(paths.Status()), paths.Logs()} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		lock, err := os.Create(paths.Lock())
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		// Of the open file, so that it counts within this process too.
		if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
			t.Fatal(err)
		}
		// It began a while ago by a clock that has been set by d since then.
		age := min(90*time.Minute, journal.Uptime()/2)
		began := now().Add(-age - d)
		module, next := began.Add(age/3), began.Add(age+25*time.Minute+30*time.Second)
		r := running(record.Module{Name: "web", State: record.Running, Attempts: 1, StartedAt: &module})
		r.StartedAt, r.StartedUptime, r.NextRetryAt = began, (journal.Uptime() - age).Seconds(), &next
		if err := record.Save(paths.Record(), r); err != nil {
			t.Fatal(err)
		}
		line := `{"level":"info","time":"` + module.Add(time.Minute).Format(time.RFC3339) + `","msg":"`
		log := line + `agent started"}` + "\n" + line + `output","phase":"modules","module":"web","line":"hello"}` + "\n"
		if err := os.WriteFile(paths.Log(), []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		v := screen.Look(paths.Root, now())
		if passed := v.Now.Sub(began); !v.Alive || passed < age-time.Second || passed > age+time.Minute {
			t.Errorf("set by %v: alive %v, it has run for %v", d, v.Alive, passed)
		}
		got := text(t, v)
		for _, want := range []string{journal.Seconds(v.Now.Sub(module)), "the next try is in 25m"} {
			if !strings.Contains(got, want) {
				t.Errorf("set by %v: the screen lacks %q: %s", d, want, got)
			}
		}
		for _, absurd := range []string{"4380", "4379", "24h", "23h"} { // hours of 50 years, and of a day
			if strings.Contains(got, absurd) {
				t.Errorf("set by %v: %s", d, got)
			}
		}
	}
}
