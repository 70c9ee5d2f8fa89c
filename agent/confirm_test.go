package agent

import (
	"strings"
	"testing"
	"time"

	"startup-bundle/agent/record"
	"startup-bundle/internal/document"
)

// A check that is tried again is one line of the log, and not its output each time. Its
// failure is told as its own, and its time is the module's.
func TestCheckThatIsTriedAgain(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "web", start: "true", check: "echo x >>$root/tries; echo no answer yet; exit 4"})
	m.want(CodeModule)
	log := m.log.String()
	if n := strings.Count(m.read("tries"), "x"); n < 3 {
		t.Fatalf("only %d tries", n)
	}
	if said := strings.Count(log, "| no answer yet"); said != 1 {
		t.Errorf("its output is in the log %d times:\n%s", said, log)
	}
	if n := strings.Count(log, "check is not good yet, trying again for up to 300ms"); n != 1 {
		t.Errorf("the log says %d times that it is tried again:\n%s", n, log)
	}
	m.logged("module ended .*state=failed .*check=failed check_exit_code=4")
	got := m.module("web")
	if !got.CheckFailed() || *got.ExitCode != 0 || got.CheckCode == nil || *got.CheckCode != 4 || got.State != record.Failed {
		t.Errorf("%+v", got)
	}
	took := time.Duration(got.Seconds * float64(time.Second))
	if took < 200*time.Millisecond || got.Took() < took || got.CheckSeconds > got.Seconds {
		t.Errorf("seconds %v, with its check %v, in all %v", got.Seconds, got.CheckSeconds, got.Took())
	}

	m = newMachine(t, document.Document{}, script{name: "web", start: "true", check: "echo x >>$root/tries; wc -l <$root/tries; [ $(wc -l <$root/tries) = 3 ]"})
	m.want(CodeDone)
	for _, want := range []string{"| 1\n", "| 2\n", "| 3\n"} {
		if strings.Count(m.log.String(), want) != 1 {
			t.Errorf("output that changes: no %q in %s", want, m.log.String())
		}
	}
	if got := m.module("web"); got.Check != record.CheckGood || got.CheckCode != nil {
		t.Errorf("%+v", got)
	}
}

// The waits between a module's attempts are its own time, and one number says how long
// the run took.
func TestTimeAddsUp(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "flaky", start: `[ "$STARTUP_ATTEMPT" = 3 ] || exit 75`})
	m.pace.retryFirst, m.pace.retryMost = 30*time.Millisecond, 30*time.Millisecond
	m.want(CodeDone)
	got := m.module("flaky")
	if got.Took() < 60*time.Millisecond || got.Attempts != 3 {
		t.Errorf("it took %v in %d attempts", got.Took(), got.Attempts)
	}
	r, err := record.Load(m.paths().Record())
	if err != nil {
		t.Fatal(err)
	}
	if r.Took() < got.Took() || r.StartedAt.After(*got.BeganAt) {
		t.Errorf("the run took %v, its module %v", r.Took(), got.Took())
	}
}
