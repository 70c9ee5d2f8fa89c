package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/internal/document"
	"startup-bundle/internal/module"
)

// nextBoot starts the agent as the next boot does.
func (m *machine) nextBoot() Code {
	m.t.Helper()
	m.boot += "+"
	return m.start(nil)
}

// powerCut makes the record what a power cut leaves: at that moment the module
// ran or, with waits, waited for its next try.
func (m *machine) powerCut(name string, waits bool) {
	m.t.Helper()
	r, err := record.Load(m.paths().Record())
	if err != nil {
		m.t.Fatal(err)
	}
	rec := r.Module(name)
	r.State, r.EndedAt, r.ExitCode = record.Running, nil, 0
	rec.State, rec.CutOff = record.Running, max(0, rec.CutOff-1) // it was counted when it ended in peace
	if waits {
		next := time.Now()
		r.NextRetryAt, rec.State, rec.Retries = &next, record.Pending, 1
	}
	if err := record.Save(m.paths().Record(), r); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) ran() int { return strings.Count(m.read("ran"), "\n") }

const shutdown = "kill -TERM $PPID; sleep 60" // as the shutdown that the script asked for does

// shutdownLater comes while the module waits for its next try.
const shutdownLater = `(
while ! grep -q next_retry_at $root/var/lib/startup-agent/record.json; do sleep 0.01; done
kill -TERM $PPID
) >/dev/null 2>&1 &
exit 75`

func TestModuleThatRebootsTheMachineItselfIsBounded(t *testing.T) {
	const name = "boots"
	tests := map[string]struct {
		script
		userdataScript bool
		afterwards     func(m *machine)
	}{
		"a module": {script: script{start: shutdown}},
		"a module that goes on": {script: script{
			start: `trap 'sleep 0.01; exit 0' TERM; kill -TERM $PPID; while :; do sleep 0.01; done`,
		}},
		"its check is interrupted":      {script: script{start: "true", check: shutdown}},
		"it asked to be run later":      {script: script{start: shutdownLater}},
		"a module of every boot":        {script: script{start: shutdown, run: "every-boot"}},
		"a userdata script":             {script: script{start: shutdown}, userdataScript: true},
		"the power goes":                {script: script{start: shutdown}, afterwards: func(m *machine) { m.powerCut(name, false) }},
		"the power goes, every boot":    {script: script{start: shutdown, run: "every-boot"}, afterwards: func(m *machine) { m.powerCut(name, false) }},
		"the power goes while it waits": {script: script{start: shutdown}, afterwards: func(m *machine) { m.powerCut(name, true) }},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			test.name = name
			test.start = "echo x >>$root/ran\n" + test.start
			m := newMachine(t, document.Document{}, test.script, script{name: "next", start: "touch $root/next"})
			m.pace.retryFirst, m.pace.retryMost = time.Minute, time.Minute
			recorded := name
			if test.userdataScript {
				m.write(m.userdata, "#!/bin/sh\nroot="+m.root()+"\n"+test.start+"\n", 0o600)
				recorded = scriptModule
			}
			for boot := range maxReboots + 1 {
				if got := m.nextBoot(); got != CodeInterrupted {
					t.Fatalf("boot %d: exit code %d, want %d\n%s", boot, got, CodeInterrupted, m.log.String())
				}
				if test.afterwards != nil {
					test.afterwards(m)
				}
			}
			for range 3 {
				if got := m.nextBoot(); got != CodeModule {
					t.Fatalf("exit code %d, want %d\n%s", got, CodeModule, m.log.String())
				}
			}
			if m.ran() != maxReboots+1 || m.read("next") != "" {
				t.Errorf("it ran %d times, want %d; next: %q", m.ran(), maxReboots+1, m.read("next"))
			}
			rec := m.module(recorded)
			if rec.State != record.Failed || !strings.Contains(rec.Reason, "went down 6 times") ||
				!strings.Contains(rec.Reason, "exit with 194") {
				t.Errorf("recorded %+v", rec)
			}
			m.logged("run failed .*exit with 194")
			if got := m.start(func(c *Config) { c.Only = recorded }); got != CodeInterrupted || m.ran() != maxReboots+2 {
				t.Errorf("--only: exit code %d, it ran %d times", got, m.ran())
			}
			got := m.start(func(c *Config) { c.Force = true })
			if got != CodeInterrupted || m.ran() != maxReboots+3 || m.module(recorded).CutOff != 1 {
				t.Errorf("--force: exit code %d, it ran %d times, recorded %+v", got, m.ran(), m.module(recorded))
			}
		})
	}
}

func TestWhatIsNoShutdownIsNotCounted(t *testing.T) {
	tests := map[string]struct {
		start      string
		code       Code
		cutOff     int // the last stop, until the next start sees that the machine is up
		afterwards func(m *machine)
	}{
		"the unit is stopped, in one boot": {start: "kill -TERM $PPID; sleep 60", code: CodeInterrupted, cutOff: 1, afterwards: func(m *machine) {
			boot := m.boot
			m.changeRecord(func(r *record.Run) { r.BootID = boot + "+" }) // the next start is in it too
		}},
		"a person interrupts it": {start: "kill -INT $PPID; sleep 60", code: CodeInterrupted},
		"the agent is killed, in one boot": {start: "exit 1", code: CodeModule, afterwards: func(m *machine) {
			boot := m.boot
			m.powerCut("a", false)
			m.boot = strings.TrimSuffix(boot, "+")
			m.changeRecord(func(r *record.Run) { r.BootID = boot })
		}},
		"it fails":             {start: "exit 1", code: CodeModule},
		"it asks for a reboot": {start: "[ $STARTUP_ATTEMPT -gt 5 ] || exit 194; exit 1"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			m := newMachine(t, document.Document{}, script{name: "a", start: "echo x >>$root/ran\n" + test.start})
			for range 2 * maxReboots {
				if got := m.nextBoot(); test.code != 0 && got != test.code {
					t.Fatalf("exit code %d, want %d\n%s", got, test.code, m.log.String())
				}
				if test.afterwards != nil {
					test.afterwards(m)
				}
			}
			if m.ran() != 2*maxReboots || m.module("a").CutOff != test.cutOff {
				t.Errorf("it ran %d times, want %d; recorded %+v", m.ran(), 2*maxReboots, m.module("a"))
			}
		})
	}
}

func (m *machine) changeRecord(change func(*record.Run)) {
	m.t.Helper()
	r, err := record.Load(m.paths().Record())
	if err != nil {
		m.t.Fatal(err)
	}
	change(r)
	if err := record.Save(m.paths().Record(), r); err != nil {
		m.t.Fatal(err)
	}
}

// A script ended after its agent was killed, and left children: only the record
// says that nobody saw it to its end.
func TestChildrenOfACutOffModuleAreStopped(t *testing.T) {
	const holds = `
exec 9>>$root/lock
flock -n 9 || echo overlap >>$root/overlap
echo $STARTUP_ATTEMPT >>$root/ran
`
	tests := map[string]struct {
		leaves string
		state  record.State
		stays  bool
	}{
		"in its session":                 {leaves: "sleep 300 &", state: record.Running},
		"in its session, interrupted":    {leaves: "sleep 300 &", state: record.Interrupted},
		"in a session of its own":        {leaves: "setsid sleep 300 &", state: record.Running},
		"its own environment":            {leaves: "(exec env -i sleep 300) & sleep 301 &", state: record.Running},
		"it ignores SIGTERM":             {leaves: "(trap '' TERM; sleep 300) &", state: record.Running},
		"a daemon of one that succeeded": {leaves: "sleep 300 9>&- &", state: record.Succeeded, stays: true},
		"a daemon of one that failed":    {leaves: "sleep 300 9>&- &", state: record.Failed, stays: true},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			m := newMachine(t, document.Document{}, script{name: "a", start: holds + test.leaves + "\necho $! >$root/left"})
			m.boot = bootID()
			m.want(CodeDone)
			pid := strings.TrimSpace(m.read("left"))
			t.Cleanup(func() { runner.StopMarked(time.Millisecond, module.EnvStateDir+"="+m.paths().ModuleState("a")) })
			m.changeRecord(func(r *record.Run) { r.State, r.Modules[0].State = test.state, test.state })
			if test.state == record.Running {
				m.changeRecord(func(r *record.Run) { r.Modules[0].Outcome = "" })
			}
			m.start(nil)
			if m.read("overlap") != "" {
				t.Errorf("two starts of the module overlapped\n%s", m.log.String())
			}
			stat, _ := os.ReadFile(filepath.Join("/proc", pid, "stat"))
			lives := len(stat) > 0 && !strings.Contains(string(stat), ") Z ")
			if lives != test.stays {
				t.Errorf("the process %s: alive is %t, want %t", pid, lives, test.stays)
			}
			if !test.stays {
				m.logged("stopped what was left running")
			}
		})
	}
}

func TestLockOfADeadAgentIsFree(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "true"})
	if err := os.MkdirAll(m.paths().State(), 0o700); err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(os.Args[0])
	agent.Env = append(os.Environ(), lockVariable+"="+m.root())
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got := m.start(nil); got != CodeOther {
		t.Errorf("while it lives: exit code %d, want %d", got, CodeOther)
	}
	if !Alive(m.paths(), nil) {
		t.Error("while it lives: it does not count as alive")
	}
	_ = agent.Process.Kill()
	_ = agent.Wait()
	if Alive(m.paths(), nil) {
		t.Error("it counts as alive, and is dead")
	}
	m.want(CodeDone)
}

const lockVariable = "AGENT_TEST_LOCK"

// TestMain makes this test binary an agent that holds the lock.
func TestMain(m *testing.M) {
	root := os.Getenv(lockVariable)
	if root == "" {
		os.Exit(m.Run())
	}
	a := &Agent{Config: Config{Paths: Paths{Root: root}}}
	unlock, err := a.lock()
	if err != nil {
		panic(err)
	}
	defer unlock()
	fmt.Println("held")
	<-time.After(time.Hour) // it is killed
}
