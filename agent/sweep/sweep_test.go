//go:build linux

// Package sweep cuts the agent off, or lets the disk fail, at every system call
// by which it changes the disk, starts it again, and looks whether what it
// promised still holds: what the record calls done is done and never runs
// again, what runs is of a whole bundle, and no failure passes for success.
//
// "make sweep" tries every call; a plain "go test" a few spread over the run.
// "make crash-test" kills at random moments, "make power-test" cuts the power.
package sweep_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
)

// longEnv, when set, makes the sweep try every point.
const longEnv = "SWEEP"

func TestMain(m *testing.M) {
	if os.Getenv(supervisedEnv) != "" {
		fmt.Fprintln(os.Stderr, become(os.Args[1:]))
		os.Exit(1)
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); os.Getenv("GOMAXPROCS") == "" {
		_ = f.Value.Set("12") // most of the time of a run is waiting
	}
	os.Exit(m.Run())
}

// build makes the program that is swept: the static one that images get.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "startup-agent")
	cmd := exec.Command("go", "build", "-o", program, "startup-bundle/cmd/startup-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// kind is a kind of fault.
type kind struct {
	name  string
	short int                                // points of a scenario in the short form, at most
	at    func(n, point int, c call) verdict // of call n, where the fault is at point
}

const killed = "killed"

func kinds() []kind {
	return []kind{
		{killed, 7, func(n, point int, _ call) verdict { return verdict{kill: n == point} }},
		{"EIO once", 3, func(n, point int, _ call) verdict {
			if n == point {
				return verdict{errno: syscall.EIO}
			}
			return verdict{}
		}},
		{"ENOSPC from there on", 3, func(n, point int, c call) verdict {
			if n >= point && !volatile(c) { // that is memory, not disk
				return verdict{errno: syscall.ENOSPC}
			}
			return verdict{}
		}},
	}
}

func TestSweep(t *testing.T) {
	program := build(t)
	unsupervised := supervise(t, exec.Command(program, "version"), t.TempDir(), func(int, call) verdict { return verdict{} })
	if unsupervised != nil {
		t.Logf("%v: the agent is only killed, and only at each change of its record", unsupervised)
	}
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, s, program, unsupervised == nil)
			if unsupervised == nil {
				f.sweep(t)
			}
			if unsupervised != nil || long() {
				f.transitions(t)
			}
		})
	}
}

func long() bool { return os.Getenv(longEnv) != "" }

// sweep tries the points of every kind of fault.
func (f *fixture) sweep(t *testing.T) {
	t.Helper()
	for _, k := range kinds() {
		points := f.choose(k)
		t.Logf("%s, %s: at %d of %d calls", f.name, k.name, len(points), f.total)
		for _, point := range points {
			t.Run(fmt.Sprintf("%s at %03d", k.name, point), func(t *testing.T) {
				t.Parallel()
				f.try(t, k, point)
			})
		}
	}
}

// choose returns all points, or those of the short form.
func (f *fixture) choose(k kind) (points []int) {
	step := 1
	if !long() {
		step = max(1, f.total/min(k.short, f.short))
	}
	for n := 1 + step/2; n <= f.total; n += step {
		points = append(points, n)
	}
	return points
}

// try lets the fault happen, and looks what comes of it.
func (f *fixture) try(t *testing.T, k kind, point int) {
	t.Helper()
	m := f.machine(t)
	found := m.record(t)
	var hit call
	code, stderr := m.run(t, func(n int, c call) verdict {
		if n == point {
			hit = c
		}
		return k.at(n, point, c)
	}, f.flags()...)
	story := fmt.Sprintf("%s at %v: exit code %d\n%s", k.name, hit, code, stderr)
	switch {
	case hit == (call{}): // scheduling made this run shorter than the counted one
	case k.name == killed:
		if code != -1 {
			t.Errorf("exit code %d, want a kill", code)
		}
	default:
		toldOf(t, m, hit, code, stderr)
	}
	f.recovers(t, m, found, story)
}

// recovers starts the agent again in peace, and requires that it ends well and
// keeps to what was recorded before the fault (found) and at it.
func (f *fixture) recovers(t *testing.T, m *machine, found *record.Run, story string) {
	t.Helper()
	left, ran := m.record(t), m.ledger(t)
	defer func() {
		if t.Failed() {
			t.Logf("%s\nthe record then: %+v\nran by then: %v, in all: %v", story, left, ran, m.ledger(t))
		}
	}()
	if code, stderr := m.run(t, nil); code != 0 {
		t.Errorf("the next start ends with exit code %d\n%s", code, stderr)
	}
	notAgain(t, left, m.ledger(t)[len(ran):])
	if !f.force {
		notAgain(t, found, m.ledger(t))
	}
	f.settled(t, m)
}

// toldOf requires that a failure of the disk was told of, or harmed nothing.
func toldOf(t *testing.T, m *machine, hit call, code int, stderr string) {
	t.Helper()
	left := m.record(t)
	status, _ := m.agent(t, nil, "status", "--root", m.root())
	switch agent.Code(code) {
	case agent.CodeDone:
		if !harmless(hit) {
			t.Errorf("exit code 0, want 16")
		}
		if left == nil || left.State != record.Succeeded || status != 0 {
			t.Errorf("exit code 0, and the record is %+v, the status %d", left, status)
		}
	case agent.CodeRecord:
		if !strings.Contains(stderr, syscall.EIO.Error()) && !strings.Contains(stderr, syscall.ENOSPC.Error()) {
			t.Errorf("the error does not say what failed:\n%s", stderr)
		}
		if strings.Contains(stderr, "agent started") && status != code { // else there is only what an earlier run left
			t.Errorf("exit code 16, and status says %d", status)
		}
	default:
		t.Errorf("exit code %d, want 16", code)
	}
}

// harmless reports whether a run may go on when the call fails: what it writes
// for people to read, with the folders for that, and what it tries to remove, twice.
func harmless(c call) bool {
	const log = "var/log/startup-agent/agent.jsonl"
	return c.name == "unlinkat" || volatile(c) || c.path == log || c.name == "mkdirat" && strings.HasPrefix(log, c.path+"/")
}

func volatile(c call) bool { return c.path == "run" || strings.HasPrefix(c.path, "run/") }

// notAgain requires that nothing ran that the record had called done.
func notAgain(t *testing.T, r *record.Run, ran []started) {
	t.Helper()
	if r == nil {
		return
	}
	for _, s := range ran {
		m := r.Module(s.module)
		if m == nil || m.State != record.Succeeded || m.Run == "every-boot" && r.BootID == "an earlier boot" {
			continue
		}
		t.Errorf("%s ran again, and the record had it as succeeded", s.module)
	}
}

// settled requires that the run has come to a good end.
func (f *fixture) settled(t *testing.T, m *machine) {
	t.Helper()
	r := m.record(t)
	if r == nil || r.State != record.Succeeded || r.ExitCode != 0 || len(r.Modules) != len(f.modules) {
		t.Fatalf("the record at the end: %+v", r)
	}
	ran := m.ledger(t)
	for i, want := range f.modules {
		if got := r.Modules[i]; got.Name != want.name || got.State != record.Succeeded {
			t.Errorf("module %d of the record is %s, %s; want %s, succeeded", i, got.Name, got.State, want.name)
		}
	}
	f.inOrder(t, ran)
	for _, s := range ran {
		if s.bundle != f.whole {
			t.Errorf("%s ran while the bundle was not whole", s.module)
		}
	}
	if err := filepath.WalkDir(m.root(), func(path string, _ fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); ext == ".new" || ext == bundle.StageSuffix {
			t.Errorf("%s is left behind", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	unpacked, err := bundle.Load(t.Context(), m.paths().Bundle())
	if err == nil {
		err = unpacked.Verify(t.Context(), nil)
	}
	if err != nil || unpacked.ByHand != f.script {
		t.Errorf("the bundle is not whole: %v", err)
	}
	if code, out := m.agent(t, nil, "status", "--root", m.root()); code != 0 || !strings.HasPrefix(out, "succeeded") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	if code, stderr := m.run(t, nil); code != 0 || len(m.ledger(t)) != len(ran) {
		t.Errorf("a further start: exit code %d, ran %v\n%s", code, m.ledger(t)[len(ran):], stderr)
	}
}

// inOrder requires that no module ran before the one before it had run, since
// the fixture's record at least.
func (f *fixture) inOrder(t *testing.T, ran []started) {
	t.Helper()
	place := map[string]int{}
	for i, m := range f.modules {
		place[m.name] = i
	}
	for i := 1; i < len(ran); i++ {
		if place[ran[i].module] < place[ran[i-1].module] {
			t.Errorf("%s ran after %s", ran[i].module, ran[i-1].module)
		}
	}
}
