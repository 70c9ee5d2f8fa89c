//go:build linux

package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"startup-bundle/agent/record"
)

// The sweep kills at each call that changes the disk. This kills at any moment,
// on a busy machine: within fork and execve, between two threads, in a start that
// still stops what the last one left.

const (
	// crashesEnv is how many kills there are: "make crash-test" has 1,000.
	crashesEnv = "CRASH_KILLS"
	// crashSeedEnv repeats a test; it is printed.
	crashSeedEnv = "CRASH_SEED"

	shortCrashes = 12
	crashWorkers = 4
	// killsInARow is how often one machine's agent is killed before it may end.
	killsInARow = 6
)

// number reads an environment variable.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// crashed is a bundle whose modules notice when they run beside one another.
func crashed() scenario {
	return scenario{name: "crashes", modules: []script{
		{name: "one", start: alone},
		{name: "children", start: alone + "(sleep 0.05; sleep 0.05) & sleep 0.02; wait"},
		{name: "orphans", start: alone + "(trap '' HUP; sleep 0.06) &\nsetsid sleep 0.05 & wait"},
		{name: "behind", start: alone + "exec 9>&-; sleep 0.5 &"},
		{name: "checked", start: alone, check: "exit 0", run: "every-boot"},
		{name: "last", start: alone},
	}}
}

// load keeps every processor busy until the end of the test.
func load(t *testing.T) {
	t.Helper()
	for range runtime.NumCPU() {
		c := exec.Command("sh", "-c", "while :; do :; done")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
	}
}

func TestRandomKills(t *testing.T) {
	t.Parallel()
	needFlock(t)
	kills, seed := number(t, crashesEnv, shortCrashes), number(t, crashSeedEnv, uint64(time.Now().UnixNano()))
	program := build(t)
	f := newFixture(t, crashed(), program, false)
	runtime.LockOSThread() // the load dies with this thread
	load(t)
	began := time.Now()
	f.machine(t).start(t, 0)
	span := time.Since(began) * 5 / 4
	var killed, starts atomic.Int64
	var failed atomic.Bool
	t.Run("workers", func(t *testing.T) {
		for worker := range crashWorkers {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(worker)))
				for killed.Load() < int64(kills) && !failed.Load() {
					f.crash(t, random, span, &killed, &starts)
					failed.CompareAndSwap(false, t.Failed())
				}
			})
		}
	})
	t.Logf("%d kills in %d starts, within %v each, %s=%d", killed.Load(), starts.Load(), span, crashSeedEnv, seed)
}

// crash kills one machine's agent again and again, and then lets it end.
func (f *fixture) crash(t *testing.T, random *rand.Rand, span time.Duration, killed, starts *atomic.Int64) {
	t.Helper()
	m := f.machine(t)
	defer func() {
		if t.Failed() {
			log, _ := os.ReadFile(m.paths().Log())
			t.Logf("ran: %v\n%s", m.ledger(t), log)
		}
	}()
	for range 1 + random.IntN(killsInARow) {
		left, ran := m.record(t), m.ledger(t)
		code, stderr := m.start(t, 1+time.Duration(random.Int64N(int64(span))))
		starts.Add(1)
		notAgain(t, left, m.ledger(t)[len(ran):])
		if code == 0 {
			break
		}
		if code != -1 {
			t.Errorf("exit code %d, want 0 or a kill\n%s", code, stderr)
		}
		killed.Add(1)
	}
	f.recovers(t, m, nil, "after the last kill")
	m.noOverlap(t)
}

// start runs the agent, with stderr in a file so that nothing is waited for but
// the agent itself, and kills it after so long; 0: never. The code is -1 if it
// was killed.
func (m *machine) start(t *testing.T, after time.Duration) (code int, stderr string) {
	t.Helper()
	out, err := os.Create(filepath.Join(m.dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if after > 0 {
		ctx, cancel = context.WithTimeout(t.Context(), after) // its end is a SIGKILL
	}
	defer cancel()
	c := exec.CommandContext(ctx, m.program, "run", "--root", m.root(), "--userdata", m.userdata)
	c.Stderr, c.Env = out, environment()
	if err := c.Run(); err != nil && c.ProcessState == nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(text)
}

// promised requires that the record says no less than what was seen to happen: a
// module starts only once the end of the one before it is on the disk.
func (f *fixture) promised(t *testing.T, r *record.Run, ran []started) {
	t.Helper()
	if len(ran) == 0 {
		return
	}
	last := ran[len(ran)-1].module
	for _, want := range f.modules {
		var got *record.Module
		if r != nil {
			got = r.Module(want.name)
		}
		if want.name == last {
			if got == nil || got.State == record.Pending {
				t.Errorf("%s had started, and the record has it as %s", last, describe(got))
			}
			return
		}
		if got == nil || got.State != record.Succeeded {
			t.Errorf("%s had started, and the record has %s before it as %s", last, want.name, describe(got))
		}
	}
}

func describe(m *record.Module) string {
	if m == nil {
		return "not there"
	}
	return fmt.Sprintf("%s, attempt %d", m.State, m.Attempts)
}

// below lists the processes that have their folder, program or a file below dir.
func below(dir string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		proc := filepath.Dir(link)
		all, _ := filepath.Glob(proc + "/fd/*")
		for _, l := range append(all, link, proc+"/exe") {
			if target, err := os.Readlink(l); err == nil && strings.HasPrefix(target, dir+"/") {
				if pid, err := strconv.Atoi(filepath.Base(proc)); err == nil && pid != os.Getpid() {
					pids = append(pids, pid)
				}
				break
			}
		}
	}
	return pids
}
