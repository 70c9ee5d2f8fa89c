package runner

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeGroup is a process group without processes. dies says which signal ends
// the leader, and childDies which one ends its child.
type fakeGroup struct {
	began           time.Time
	done            chan struct{}
	dies, childDies syscall.Signal
	child           bool
	events          []string
}

func (f *fakeGroup) signal(sig syscall.Signal) {
	f.events = append(f.events, fmt.Sprintf("%s after %v", signalName(sig), time.Since(f.began)))
	if sig == f.dies {
		close(f.done)
	}
	if sig == f.childDies {
		f.child = false
	}
}

func TestStopGivesGraceThenKills(t *testing.T) {
	const term, cont = "SIGTERM after 1m0s", "SIGCONT after 1m0s"
	interrupted := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), time.Minute)
	}
	forever := func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) }
	tests := []struct {
		name            string
		ctx             func() (context.Context, context.CancelFunc)
		dies, childDies syscall.Signal
		grace           time.Duration
		want            []string
		end             time.Duration
		outcome         Outcome
		leftovers       bool
	}{
		{"all die of SIGTERM", forever, syscall.SIGTERM, syscall.SIGTERM, 0, []string{term, cont}, time.Minute, TimedOut, false},
		{"the leader ignores it", forever, syscall.SIGKILL, syscall.SIGTERM, 0, []string{term, cont, "SIGKILL after 1m10s"}, 70 * time.Second, TimedOut, false},
		{"a child ignores it", forever, syscall.SIGTERM, syscall.SIGKILL, 0, []string{term, cont, "SIGKILL after 1m10s"}, 70 * time.Second, TimedOut, false},
		{"the script's own grace", forever, syscall.SIGKILL, syscall.SIGTERM, time.Second, []string{term, cont, "SIGKILL after 1m1s"}, 61 * time.Second, TimedOut, false},
		{"a shorter one at an interrupt", interrupted, syscall.SIGKILL, syscall.SIGTERM, 0, []string{term, cont, "SIGKILL after 1m5s"}, 65 * time.Second, Interrupted, false},
		{"but never a longer one", interrupted, syscall.SIGKILL, syscall.SIGTERM, time.Second, []string{term, cont, "SIGKILL after 1m1s"}, 61 * time.Second, Interrupted, false},
		{"not even SIGKILL helps", interrupted, 0, 0, 0, []string{term, cont, "SIGKILL after 1m5s"}, 67 * time.Second, Interrupted, true},
		{"a child hangs in the kernel", forever, syscall.SIGTERM, 0, 0, []string{term, cont, "SIGKILL after 1m10s"}, 72 * time.Second, TimedOut, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeGroup{began: time.Now(), done: make(chan struct{}), dies: test.dies, childDies: test.childDies, child: true}
				p := process{cmd: &exec.Cmd{}, group: group{leaderDone: f.done, signal: f.signal, alive: func() bool { return f.child }}}
				s := Script{Timeout: time.Minute, Grace: test.grace}
				ctx, cancel := test.ctx()
				defer cancel()
				if ctx.Done() != nil && test.outcome == Interrupted {
					s.Timeout = time.Hour
				}
				res := p.await(ctx, s)
				if diff := cmp.Diff(test.want, f.events); diff != "" {
					t.Error(diff)
				}
				if got := time.Since(f.began); got != test.end {
					t.Errorf("ended after %v, want %v", got, test.end)
				}
				if res.Outcome != test.outcome || res.Leftovers != test.leftovers {
					t.Errorf("%+v", res)
				}
			})
		})
	}
}
