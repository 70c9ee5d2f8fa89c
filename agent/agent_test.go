package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"go.uber.org/zap/zapcore"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
)

// machine is a scratch root with a bundle and userdata for it.
type machine struct {
	t        *testing.T
	dir      string
	userdata string
	boot     string // the boot's name
	pace     pace
	reboot   func(context.Context) error
	log      bytes.Buffer // of the last run
}

// script is a module's start.
type script struct{ name, start, check, run string }

func newMachine(t *testing.T, doc document.Document, scripts ...script) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), boot: "boot-1", reboot: NoReboot, pace: pace{
		retryFirst: time.Millisecond, retryMost: 2 * time.Millisecond,
		checkPause: time.Millisecond, checkPatience: 300 * time.Millisecond, heartbeat: time.Hour,
	}}
	a := bundle.Archive{Manifest: bundle.Manifest{Name: "test", Packer: "test"}, Trees: map[string]*bundle.Tree{}}
	for _, s := range scripts {
		dir := filepath.Join(m.dir, "modules", s.name)
		m.write(filepath.Join(dir, "start"), "#!/bin/sh\nroot="+m.root()+"\n"+s.start+"\n", 0o755)
		if s.check != "" {
			m.write(filepath.Join(dir, "check"), "#!/bin/sh\nroot="+m.root()+"\n"+s.check+"\n", 0o755)
		}
		tree, err := bundle.Scan(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		a.Manifest.Modules = append(a.Manifest.Modules, bundle.Module{Name: s.name, Run: s.run})
		a.Trees[s.name] = tree
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(m.dir, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := bundle.Seal(f, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	doc.URLs, doc.Key = []string{"file://" + f.Name()}, secret.New(id.String())
	text, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	m.userdata = filepath.Join(m.dir, "userdata")
	m.write(m.userdata, string(text), 0o600)
	return m
}

func (m *machine) root() string { return filepath.Join(m.dir, "root") }
func (m *machine) paths() Paths { return Paths{Root: m.root()} }

func (m *machine) write(path, text string, mode os.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	text, err := os.ReadFile(filepath.Join(m.root(), name))
	if err != nil {
		return ""
	}
	return string(text)
}

// start runs the agent once.
func (m *machine) start(change func(*Config)) Code {
	m.t.Helper()
	return m.startIn(context.Background(), change)
}

func (m *machine) startIn(ctx context.Context, change func(*Config)) Code {
	m.t.Helper()
	m.log.Reset()
	log, err := journal.Open(journal.Config{Path: m.paths().Log(), Terminal: &m.log, Level: zapcore.DebugLevel})
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	tr, err := transport.New("")
	if err != nil {
		m.t.Fatal(err)
	}
	c := Config{
		Paths: m.paths(), Userdata: m.userdata, Version: "test", Journal: log, BootID: m.boot, Reboot: m.reboot,
		Fetch: fetch.New(fetch.Config{Logger: log.Logger, Transport: tr}),
	}
	if change != nil {
		change(&c)
	}
	a := New(c)
	a.pace = m.pace
	return a.Run(ctx)
}

// want starts the agent and checks its exit code.
func (m *machine) want(code Code) {
	m.t.Helper()
	if got := m.start(nil); got != code {
		m.t.Fatalf("exit code %d, want %d; log:\n%s", got, code, m.log.String())
	}
}

func (m *machine) module(name string) record.Module {
	m.t.Helper()
	r, err := record.Load(m.paths().Record())
	if err != nil {
		m.t.Fatal(err)
	}
	return *r.Module(name)
}

func (m *machine) logged(pattern string) {
	m.t.Helper()
	if !regexp.MustCompile(pattern).MatchString(m.log.String()) {
		m.t.Errorf("the log has no %q:\n%s", pattern, m.log.String())
	}
}

func TestModuleThatAsksForLaterIsRunAgain(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "waits", start: `
echo "attempt $STARTUP_ATTEMPT"
[ "$STARTUP_ATTEMPT" -ge 3 ] || exit 75`})
	m.want(CodeDone)
	if got := m.module("waits"); got.State != record.Succeeded || got.Attempts != 3 || got.Retries != 2 {
		t.Errorf("recorded %+v", got)
	}
}

func TestModuleThatAsksForLaterTooOftenFails(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "waits", start: "exit 75"}, script{name: "next", start: "touch $root/next"})
	m.want(CodeModule)
	got := m.module("waits")
	if got.State != record.Failed || got.Attempts != maxRetries+1 || !strings.Contains(got.Reason, "asked 9 times") {
		t.Errorf("recorded %+v", got)
	}
	if _, err := os.Stat(filepath.Join(m.root(), "next")); err == nil {
		t.Error("the module after it ran")
	}
}

func TestRetryWaitGrowsAndIsBounded(t *testing.T) {
	p, all := usualPace(), time.Duration(0)
	for n := 1; n <= maxRetries; n++ {
		wait := p.retryWait(n)
		if wait < p.retryFirst || wait > p.retryMost {
			t.Errorf("wait %d is %v", n, wait)
		}
		all += wait
	}
	if all > 6*time.Minute {
		t.Errorf("all waits together take %v", all)
	}
}

func TestReboots(t *testing.T) {
	m := newMachine(t, document.Document{},
		script{name: "before", start: "echo before >>$root/ran"},
		script{name: "boots", start: `echo "boots $STARTUP_ATTEMPT" >>$root/ran; [ "$STARTUP_ATTEMPT" -ge 3 ] || exit 194`},
		script{name: "after", start: "echo after >>$root/ran"})
	asked := 0
	m.reboot = func(context.Context) error {
		asked++
		if r, err := record.Load(m.paths().Record()); err != nil || !r.Rebooting || r.Module("boots").Reboots != asked {
			t.Errorf("the record is not on disk when the reboot is asked for: %+v, %v", r, err)
		}
		return nil
	}
	m.want(CodeInterrupted)
	m.logged("run goes on after the reboot")
	m.boot = "boot-2"
	m.want(CodeInterrupted)
	m.boot = "boot-3"
	m.want(CodeDone)
	if got, want := m.read("ran"), "before\nboots 1\nboots 2\nboots 3\nafter\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
	if asked != 2 {
		t.Errorf("%d reboots were asked for", asked)
	}
}

func TestMachineDoesNotRebootForEver(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "boots", start: "exit 194"})
	asked := 0
	m.reboot = func(context.Context) error { asked++; return nil }
	for range maxReboots {
		m.want(CodeInterrupted)
	}
	m.want(CodeModule)
	if got := m.module("boots"); asked != maxReboots || got.State != record.Failed || !strings.Contains(got.Reason, "after 5 reboots") {
		t.Errorf("%d reboots; recorded %+v", asked, got)
	}
}

func TestRunOfTheNextBoot(t *testing.T) {
	scripts := []script{
		{name: "once", start: "echo once >>$root/ran"},
		{name: "always", start: "echo always >>$root/ran", run: "every-boot"},
	}
	t.Run("a module of every boot runs at each, without fetching", func(t *testing.T) {
		m := newMachine(t, document.Document{}, scripts...)
		m.want(CodeDone)
		m.want(CodeDone) // the same boot: nothing
		if err := os.Remove(filepath.Join(m.dir, "bundle")); err != nil {
			t.Fatal(err)
		}
		m.boot = "boot-2"
		m.want(CodeDone)
		if got, want := m.read("ran"), "once\nalways\nalways\n"; got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	})
	t.Run("a bundle of every boot begins anew", func(t *testing.T) {
		m := newMachine(t, document.Document{Run: document.EveryBoot}, scripts...)
		m.want(CodeDone)
		m.want(CodeDone)
		m.boot = "boot-2"
		m.want(CodeDone)
		if got, want := m.read("ran"), "once\nalways\nonce\nalways\n"; got != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	})
}

func TestForceAndOnly(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"}, script{name: "b", start: "echo b >>$root/ran"})
	only := func(name string) func(*Config) { return func(c *Config) { c.Only = name } }
	if got := m.start(only("b")); got != CodeUsage {
		t.Errorf("--only before any run: exit code %d", got)
	}
	m.want(CodeDone)
	if got := m.start(only("b")); got != CodeDone {
		t.Errorf("--only b: exit code %d", got)
	}
	if got := m.start(only("c")); got != CodeUsage {
		t.Errorf("--only c: exit code %d", got)
	}
	m.want(CodeDone)
	m.logged("nothing to do")
	if got := m.start(func(c *Config) { c.Force = true }); got != CodeDone {
		t.Errorf("--force: exit code %d", got)
	}
	if got, want := m.read("ran"), "a\nb\nb\na\nb\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestCutOffRunIsToldFromAFailure(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"}, script{name: "b", start: "echo b >>$root/ran; exit $(cat $root/exit)"})
	m.write(filepath.Join(m.root(), "exit"), "1", 0o644)
	m.want(CodeModule)
	r, err := record.Load(m.paths().Record())
	if err != nil {
		t.Fatal(err)
	}
	r.State, r.Modules[1].State = record.Running, record.Running // as a killed agent leaves it
	if err := record.Save(m.paths().Record(), r); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.root(), "exit"), "0", 0o644)
	m.want(CodeDone)
	m.logged("the last start was cut off")
	m.logged("b: module was cut off: running it again")
	if got, want := m.read("ran"), "a\nb\nb\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestChecks(t *testing.T) {
	t.Run("a check that is good in a moment", func(t *testing.T) {
		m := newMachine(t, document.Document{}, script{name: "a", start: "true", check: "echo x >>$root/tries; [ $(wc -l <$root/tries) -ge 3 ]"})
		m.want(CodeDone)
		m.logged("check is good attempt=3")
	})
	t.Run("a check that never is", func(t *testing.T) {
		m := newMachine(t, document.Document{}, script{name: "a", start: "true", check: "echo no answer; exit 1"}, script{name: "b", start: "touch $root/b"})
		m.want(CodeModule)
		got := m.module("a")
		if got.State != record.Failed || !strings.Contains(got.Reason, "its check failed") || len(got.Tail) == 0 || got.Tail[len(got.Tail)-1] != "no answer" {
			t.Errorf("recorded %+v", got)
		}
		if m.read("b") != "" {
			t.Error("the module after it ran")
		}
	})
	t.Run("a check that does not apply", func(t *testing.T) {
		m := newMachine(t, document.Document{}, script{name: "a", start: "true", check: "exit 77"})
		m.want(CodeDone)
	})
	t.Run("a skipped module is not checked", func(t *testing.T) {
		m := newMachine(t, document.Document{}, script{name: "a", start: "exit 77", check: "exit 1"})
		m.want(CodeDone)
	})
}

func TestCheckCommand(t *testing.T) {
	m := newMachine(t, document.Document{Env: map[string]string{"ROLE": "web"}},
		script{name: "good", start: "true", check: `[ "$ROLE" = web ] && [ "$STARTUP_MODULE" = good ]`},
		script{name: "later-bad", start: "true", check: "[ ! -e $root/broken ]"},
		script{name: "none", start: "true"})
	check := func(only string) (Code, string, error) {
		log, err := journal.Open(journal.Config{Path: m.paths().Log(), Terminal: &m.log, Level: zapcore.InfoLevel})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		var told []string
		code, err := New(Config{Paths: m.paths(), Journal: log}).Check(context.Background(), only, func(c Checked) {
			told = append(told, c.Module+"="+c.Result)
		})
		return code, strings.Join(told, " "), err
	}
	if code, _, err := check(""); code != CodeNoRecord || err == nil {
		t.Errorf("before any run: %d, %v", code, err)
	}
	m.want(CodeDone)
	if code, told, err := check(""); code != CodeDone || err != nil || told != "good=good later-bad=good none=none" {
		t.Errorf("%d, %s, %v", code, told, err)
	}
	if n := strings.Count(m.read("var/log/startup-agent/modules/good.log"), "[startup-agent check, 20"); n != 1 {
		t.Errorf("the output of a later check is marked %d times", n)
	}
	m.write(filepath.Join(m.root(), "broken"), "", 0o644)
	if code, told, _ := check("later-bad"); code != CodeModule || told != "later-bad=failed" {
		t.Errorf("%d, %s", code, told)
	}
	if code, _, _ := check("nine"); code != CodeUsage {
		t.Errorf("an unknown module: %d", code)
	}
	if got := m.module("later-bad"); got.State != record.Succeeded {
		t.Errorf("check changed the record: %+v", got)
	}
}

func TestHooks(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "[ ! -e $root/broken ]"})
	hook := func(name, text string, mode os.FileMode) { m.write(filepath.Join(m.paths().Hooks(), name), text, mode) }
	hook("10-tell", "#!/bin/sh\necho \"$RESULT $PHASE $MODULE $EXIT_CODE\" >>"+m.root()+"/told\n", 0o755)
	hook("20-bad", "#!/bin/sh\nexit 3\n", 0o755)
	hook("30-readme", "no program", 0o644)
	m.write(filepath.Join(m.root(), "broken"), "", 0o644)
	m.want(CodeModule)
	m.logged("hook failed .*hook=20-bad")
	m.logged("hook ignored.*30-readme")
	if err := os.Remove(filepath.Join(m.root(), "broken")); err != nil {
		t.Fatal(err)
	}
	m.want(CodeDone)
	m.want(CodeDone) // nothing to do, so no hook
	if got, want := m.read("told"), "failed modules a 15\nsucceeded report  0\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestHeartbeatsDuringARun(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "until [ -e $root/beaten ]; do :; done"})
	m.pace.heartbeat = time.Millisecond
	m.write(filepath.Join(m.paths().Heartbeats(), "beat"), "#!/bin/sh\n[ \"$RESULT\" = running ] && echo >"+m.root()+"/beaten\n", 0o755)
	m.want(CodeDone)
}

func TestReset(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran; touch $STARTUP_STATE_DIR/kept"})
	m.want(CodeDone)
	if code, err := Reset(m.paths(), false); code != CodeDone || err != nil {
		t.Fatal(code, err)
	}
	for _, path := range []string{m.paths().Record(), m.paths().Bundle(), m.paths().Status(), m.paths().Env()} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if _, err := os.Lstat(filepath.Join(m.paths().ModuleState("a"), "kept")); err != nil {
		t.Error(err)
	}
	m.want(CodeDone)
	if got, want := m.read("ran"), "a\na\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
	if code, err := Reset(m.paths(), true); code != CodeDone || err != nil {
		t.Fatal(code, err)
	}
	for _, path := range []string{m.paths().Logs(), m.paths().ModuleStates()} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}

func TestDamagedBundleIsFetchedAgainAndWhatIsDoneStaysDone(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"}, script{name: "b", start: "echo b >>$root/ran; [ -e $root/mended ]"}, script{name: "c", start: "echo c >>$root/ran"})
	m.want(CodeModule)
	m.write(filepath.Join(m.paths().Bundle(), bundle.Top, "c", "start"), "", 0o755)
	m.write(filepath.Join(m.root(), "mended"), "", 0o644)
	m.want(CodeDone)
	m.logged("the unpacked bundle is not whole")
	if got, want := m.read("ran"), "a\nb\nb\nc\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestEveryBootModuleDoesNotRebootForEver(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "boots", run: "every-boot", start: "exit 194"})
	asked := 0
	m.reboot = func(context.Context) error { asked++; return nil }
	for boot := range maxReboots {
		m.boot = "boot-" + strconv.Itoa(boot)
		m.want(CodeInterrupted)
	}
	m.boot = "the last"
	m.want(CodeModule)
	if asked != maxReboots {
		t.Errorf("%d reboots were asked for", asked)
	}
}

func TestModuleMayWriteIntoItsOwnFolder(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran; touch made-here"}, script{name: "b", start: "[ -e $root/mended ]"})
	m.want(CodeModule)
	if err := os.Remove(filepath.Join(m.dir, "bundle")); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.root(), "mended"), "", 0o644)
	m.want(CodeDone) // without fetching again
	if got, want := m.read("ran"), "a\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestFolderOfAnotherBundleIsNotTrusted(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"}, script{name: "b", start: "echo b >>$root/ran; [ -e $root/mended ]"})
	m.want(CodeModule)
	r, err := record.Load(m.paths().Record())
	if err != nil {
		t.Fatal(err)
	}
	r.Bundle.Whole = false // as a start leaves it that was killed between the new folder and its record
	if err := record.Save(m.paths().Record(), r); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.root(), "mended"), "", 0o644)
	m.want(CodeDone)
	m.logged("it was about to be replaced")
	if got, want := m.read("ran"), "a\nb\nb\n"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestMirrorThatServesAnotherFileIsLeftOut(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"})
	m.write(filepath.Join(m.dir, "page"), "<!doctype html>", 0o644)
	text, err := os.ReadFile(m.userdata)
	if err != nil {
		t.Fatal(err)
	}
	good := "file://" + filepath.Join(m.dir, "bundle")
	m.write(m.userdata, strings.Replace(string(text), "url: "+good, "url: [file://"+filepath.Join(m.dir, "page")+", "+good+"]", 1), 0o600)
	m.want(CodeDone)
	m.logged("starting the bundle over.*looks like a web page")
}

func TestOneModuleTellsNoHook(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "a", start: "[ -e $root/mended ]"}, script{name: "b", start: "true"})
	m.want(CodeModule)
	m.write(filepath.Join(m.paths().Hooks(), "tell"), "#!/bin/sh\ntouch "+m.root()+"/told\n", 0o755)
	if got := m.start(func(c *Config) { c.Only = "b" }); got != CodeModule {
		t.Errorf("exit code %d", got)
	}
	if _, err := os.Stat(filepath.Join(m.root(), "told")); err == nil {
		t.Error("a hook was told")
	}
}
