//go:build linux

package sweep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
)

// scenario is a bundle, and what the swept start of the agent finds.
type scenario struct {
	name    string
	short   int // points of a fault in the short form, at most
	modules []script
	// prepare makes of a machine on which the agent has run once what the
	// swept start finds; nil: it finds an empty folder.
	prepare func(t *testing.T, m *machine)
	// firstExit is the exit code of that one run.
	firstExit int
	// script is set where the userdata is the module itself.
	script bool
	// force begins the swept start anew.
	force bool
}

// script is a module: the body of its start, its check, its run.
type script struct{ name, start, check, run string }

// prelude notes that a module runs, and a checksum of the whole bundle as the
// module sees it, in a file that is none of the agent's.
const prelude = `#!/bin/sh
ledger=$STARTUP_STATE_DIR/../../../../../../ledger
sum=$(cat ../* ../*/* 2>/dev/null | cksum)
echo "$STARTUP_MODULE ${sum%% *}" >>"$ledger"
`

const (
	leavesAProcess = "sleep 1 &"
	laterOnce      = `[ -e "$STARTUP_STATE_DIR/asked" ] || { touch "$STARTUP_STATE_DIR/asked"; exit 75; }`
	failsOnce      = `[ -e "$STARTUP_STATE_DIR/failed" ] || { touch "$STARTUP_STATE_DIR/failed"; exit 1; }`
)

func scenarios() []scenario {
	return []scenario{
		{name: "first boot", short: 7, modules: []script{
			{name: "one", start: "echo one"},
			{name: "boots", check: "exit 0", run: "every-boot"},
			{name: "behind", start: leavesAProcess},
			{name: "last"},
		}},
		{name: "asks for later", short: 1, modules: []script{{name: "one"}, {name: "later", start: laterOnce}, {name: "last"}}},
		{name: "next boot", short: 3, modules: []script{{name: "one"}, {name: "boots", check: "exit 0", run: "every-boot"}, {name: "last"}}, prepare: newBoot},
		{name: "bundle damaged after a failure", short: 7, modules: []script{{name: "one"}, {name: "two"}, {name: "fails", start: failsOnce}, {name: "last"}}, prepare: damage, firstExit: int(agent.CodeModule)},
		{name: "userdata script", short: 3, modules: []script{{name: "userdata"}}, script: true},
		{name: "begun anew after a failure", short: 4, modules: []script{{name: "one"}, {name: "fails", start: failsOnce}, {name: "last"}}, prepare: asItIs, firstExit: int(agent.CodeModule), force: true},
	}
}

func asItIs(*testing.T, *machine) {}

// newBoot makes the record one of an earlier boot.
func newBoot(t *testing.T, m *machine) {
	t.Helper()
	r := m.record(t)
	r.BootID = "an earlier boot"
	if err := record.Save(m.paths().Record(), r); err != nil {
		t.Fatal(err)
	}
}

// damage empties a file of the unpacked bundle, as a power cut can.
func damage(t *testing.T, m *machine) {
	t.Helper()
	if err := os.Truncate(filepath.Join(m.paths().Bundle(), bundle.Top, "last", "start"), 0); err != nil {
		t.Fatal(err)
	}
}

// machine is a scratch root, and beside it the ledger.
type machine struct {
	dir      string
	program  string
	userdata string
}

func (m *machine) root() string       { return filepath.Join(m.dir, "root") }
func (m *machine) paths() agent.Paths { return agent.Paths{Root: m.root()} }

// agent runs the program to its end; with decide not nil, under supervision.
// The code is -1 if it was killed.
func (m *machine) agent(t *testing.T, decide func(int, call) verdict, args ...string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.program, args...)
	var out bytes.Buffer
	cmd.Stderr, cmd.Stdout = &out, &out
	cmd.WaitDelay = time.Second
	cmd.Env = environment()
	var err error
	if decide == nil {
		_ = cmd.Run()
	} else {
		err = supervise(t, cmd, m.root(), decide)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// environment keeps the agent, whatever happens, from a real metadata service.
func environment() []string { return []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9"} }

func (m *machine) run(t *testing.T, decide func(int, call) verdict, flags ...string) (code int, stderr string) {
	t.Helper()
	return m.agent(t, decide, append([]string{"run", "--root", m.root(), "--userdata", m.userdata}, flags...)...)
}

// record reads the record, which is whole or not there; nil: not there.
func (m *machine) record(t *testing.T) *record.Run {
	t.Helper()
	r, err := record.Load(m.paths().Record())
	if err != nil && !errors.Is(err, record.ErrNone) {
		t.Fatalf("the record: %v", err)
	}
	return r
}

// ledger returns the modules that were started, in order, each with the
// checksum of the bundle that it saw.
func (m *machine) ledger(t *testing.T) (lines []started) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "ledger"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, sum, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines = append(lines, started{name, sum})
	}
	return lines
}

type started struct{ module, bundle string }

// fixture is a scenario made ready: machines are copied from it.
type fixture struct {
	scenario
	origin machine
	whole  string // checksum of the whole bundle
	total  int    // calls of a start; 0: not counted
}

// newFixture runs the scenario in peace, to see that this goes well, and counts
// the calls of the start that is to be swept.
func newFixture(t *testing.T, s scenario, program string, supervised bool) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{scenario: s, origin: machine{dir: filepath.Join(dir, "origin"), program: program, userdata: filepath.Join(dir, "userdata")}}
	if err := s.pack(filepath.Join(dir, "modules"), filepath.Join(dir, "bundle"), f.origin.userdata); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(f.origin.root(), 0o755); err != nil {
		t.Fatal(err)
	}
	trial := f.machine(t)
	var count func(int, call) verdict
	if supervised {
		count = func(n int, _ call) verdict { f.total = n; return verdict{} }
	}
	if code, stderr := trial.run(t, count); code != s.firstExit {
		t.Fatalf("a run in peace: exit code %d, want %d\n%s", code, s.firstExit, stderr)
	}
	f.whole = trial.ledger(t)[0].bundle
	if s.prepare != nil {
		s.prepare(t, trial)
		if err := os.Remove(filepath.Join(trial.dir, "ledger")); err != nil {
			t.Fatal(err)
		}
		f.origin.dir = trial.dir
		if code, stderr := f.machine(t).run(t, count, f.flags()...); code != 0 {
			t.Fatalf("the next start in peace: exit code %d\n%s", code, stderr)
		}
	}
	if supervised && f.total < 20 {
		t.Fatalf("only %d calls were seen: the supervision does not work", f.total)
	}
	return f
}

// flags are those of the swept start.
func (f *fixture) flags() []string { return []string{fmt.Sprintf("--force=%t", f.force)} }

// machine returns a new copy of the origin.
func (f *fixture) machine(t *testing.T) *machine {
	t.Helper()
	m := f.origin
	m.dir = filepath.Join(t.TempDir(), "m")
	if out, err := exec.Command("cp", "-a", f.origin.dir, m.dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return &m
}

// pack writes the scenario's bundle, and userdata for it.
func (s scenario) pack(modules, out, userdata string) error {
	if s.script {
		return os.WriteFile(userdata, []byte(prelude), 0o600)
	}
	a := bundle.Archive{Manifest: bundle.Manifest{Name: s.name, Packer: "test"}, Trees: map[string]*bundle.Tree{}, Lib: []byte(":\n")}
	for _, m := range s.modules {
		dir := filepath.Join(modules, m.name)
		files := map[string]string{"start": prelude + m.start + "\n"}
		if m.name == "one" { // files are written in two ways, by size
			files["large"] = strings.Repeat("large", 60_000)
		}
		if m.check != "" {
			files["check"] = "#!/bin/sh\n" + m.check + "\n"
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
				return err
			}
		}
		tree, err := bundle.Scan(context.Background(), dir)
		if err != nil {
			return err
		}
		a.Manifest.Modules = append(a.Manifest.Modules, bundle.Module{Name: m.name, Run: m.run})
		a.Trees[m.name] = tree
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := bundle.Seal(f, id.Recipient())
	if err != nil {
		return err
	}
	if _, err := a.Write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	text, err := document.Document{URLs: []string{"file://" + out}, Key: secret.New(id.String())}.Marshal()
	if err != nil {
		return fmt.Errorf("write userdata: %w", err)
	}
	return os.WriteFile(userdata, text, 0o600)
}
