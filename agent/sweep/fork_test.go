//go:build linux

package sweep_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
)

// alone notes when it runs beside another, and so do the processes that it starts
// without closing descriptor 9.
const alone = `exec 9>>"$STARTUP_STATE_DIR/../../../../../../alone"
flock -n 9 || echo "$STARTUP_MODULE" >>"$STARTUP_STATE_DIR/../../../../../../overlaps"
`

func needFlock(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("flock(1) is not here")
	}
}

// noOverlap requires that no module ran beside another.
func (m *machine) noOverlap(t *testing.T) {
	t.Helper()
	if text, err := os.ReadFile(filepath.Join(m.dir, "overlaps")); err == nil {
		t.Errorf("ran beside another: %s", strings.Fields(string(text)))
	}
}

// The agent is killed while its child is between fork and execve, and so shares
// all that the agent had open. The next start is not refused, and that child
// never runs beside it.
func TestKilledBetweenForkAndExec(t *testing.T) {
	t.Parallel()
	needFlock(t)
	program := build(t)
	f := newFixture(t, scenario{name: "fork", modules: []script{{name: "one", start: alone + "sleep 0.3"}}}, program, false)
	for name, released := range map[string]bool{"and stays there": false, "and goes on when the next start waits": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := f.machine(t)
			var once sync.Once
			child := make(chan int, 1)
			s := &supervisor{root: m.root(), decide: func(int, call) verdict { return verdict{} }, release: make(chan struct{})}
			s.forked = func(pid int) (first bool) {
				once.Do(func() {
					first = true
					child <- pid
					_ = unix.Kill(s.pid, unix.SIGKILL)
				})
				return first
			}
			cmd := exec.Command(program, "run", "--root", m.root(), "--userdata", m.userdata)
			cmd.Env = environment()
			if err := s.run(t, cmd); err != nil {
				t.Skip(err)
			}
			pid := <-child
			release := sync.OnceFunc(func() { close(s.release) })
			t.Cleanup(func() {
				_ = unix.Kill(pid, unix.SIGKILL)
				release()
			})
			if r := m.record(t); r == nil || r.Module("one").State != record.Running || agent.Alive(m.paths(), r) {
				t.Fatalf("the agent is not dead, or was not in a module: %+v", r)
			}
			if released {
				go func() {
					for !agent.Alive(m.paths(), nil) && t.Context().Err() == nil {
						<-time.After(time.Millisecond)
					}
					release()
				}()
			}
			if code, stderr := m.run(t, nil); code != 0 {
				t.Errorf("the next start ends with exit code %d\n%s", code, stderr)
			}
			m.noOverlap(t)
			stat, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
			if len(stat) > 0 && !strings.Contains(string(stat), ") Z ") {
				t.Errorf("the child lives: %s", stat)
			}
			f.settled(t, m)
		})
	}
}
