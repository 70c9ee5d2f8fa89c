// Package agent boots an instance: it learns from userdata which bundle to take
// on, fetches and opens it, and runs its modules in order.
package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/instance"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/key"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
)

// Config is what an Agent is made from.
type Config struct {
	Paths    Paths
	Userdata string           // a file to read instead of instance metadata; metadata is then not asked at all
	Force    bool             // begin anew, whatever the record says
	Only     string           // run this module of the unpacked bundle and no other
	Limits   bundle.Limits    // of the bundle
	Version  string           // of this program
	Journal  *journal.Journal // stays the caller's to close
	Metadata *instance.Client // stays the caller's to close
	Fetch    *fetch.Client
	AWS      key.Caller // asks the key services; nil: there are none
	Unit     string     // the systemd unit that runs the agent now, see OwnUnit; empty: none
	BootID   string     // the kernel's name for this boot; empty: asked from it

	// Reboot asks for a reboot and returns: SystemReboot or NoReboot.
	Reboot func(context.Context) error
}

// Agent runs once.
type Agent struct {
	Config
	log  *zap.Logger
	run  *record.Run        // the record of this run, nil until the userdata is read
	who  instance.Identity  // zero where metadata is not asked
	doc  *document.Document // what the userdata says
	env  map[string]string  // for every module, from the userdata
	have *bundle.Contents   // the unpacked bundle
	sync chan error         // gives one value once the bundle is on disk; nil: nothing to wait for
	pace pace

	epoch    time.Time     // when the agent was made, see now: the run begins with it, and with its wait for metadata
	uptime   float64       // of the machine then, in seconds
	deadline time.Time     // of the run, once the userdata has said how long it may take
	mu       sync.Mutex    // guards faults: heartbeats beat beside the run
	faults   []record.Hook // hooks that did not do their work
	warned   bool          // that the public copy of the record cannot be written

	keys     signature.Keys // whose bundles may run; only where enforced
	enforced bool           // this image trusts certain keys only
}

// pace is how long the agent waits between tries. Tests are in more of a hurry.
type pace struct {
	retryFirst    time.Duration // before a module that exited 75 runs again; doubled each time
	retryMost     time.Duration
	checkPause    time.Duration // before a check that failed runs again
	checkPatience time.Duration // for how long: a service that was just started may need a moment
	heartbeat     time.Duration // between two heartbeats
}

func usualPace() pace {
	return pace{
		retryFirst: 5 * time.Second, retryMost: time.Minute,
		checkPause: 2 * time.Second, checkPatience: time.Minute, heartbeat: 5 * time.Minute,
	}
}

// New returns an agent.
func New(c Config) *Agent {
	if c.BootID == "" {
		c.BootID = bootID()
	}
	return &Agent{Config: c, log: c.Journal.Logger, pace: usualPace(), epoch: time.Now(), uptime: journal.UptimeSeconds()}
}

// now is the time that the record gets: that of the clock when the agent started, and
// what has passed since. A clock that is set in the middle of a run then makes no
// duration of the record negative or absurd.
func (a *Agent) now() time.Time { return a.epoch.Add(time.Since(a.epoch)).UTC() }

// Run boots the instance:
//
//  1. hold the lock, so that one agent runs at a time
//  2. userdata → identity and document; from the record: begin, go on, or nothing to do
//  3. key
//  4. bundle: fetch → verify → decrypt → unpack, in one pipeline; then whole, or not there
//  5. modules, in order, each recorded before and after
//  6. report
//
// It returns the exit code. What went wrong is by then in the log's last line
// and in the record.
func (a *Agent) Run(ctx context.Context) Code {
	signaled, stop := untilSignal(ctx)
	defer stop()
	ctx = signaled
	unlock, err := a.lock()
	if !errors.Is(err, errRefused) { // else the log is another agent's
		a.log.Info(journal.MessageStarted, zap.String("version", a.Version), zap.String(journal.KeyBootID, a.BootID))
	}
	if err != nil {
		return a.end(ctx, signaled, err)
	}
	defer unlock()

	if err := a.known(); err != nil {
		return a.end(ctx, signaled, err)
	}
	a.publish(a.fresh("")) // metadata can be waited for for long
	err = a.learn(ctx)
	if errors.Is(err, errNothingToDo) {
		a.log.Info(journal.MessageEnded, zap.Int("exit_code", int(CodeDone)), zap.Duration("duration", time.Since(a.epoch)))
		return CodeDone
	}
	if err != nil {
		return a.end(ctx, signaled, err)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, a.deadline, errDeadline)
	defer cancel()
	stopHeartbeat := a.heartbeat(ctx)
	if a.have == nil {
		var found secret.String
		if found, err = a.key(ctx); err == nil {
			err = a.bundle(ctx, found)
		}
	}
	if err == nil {
		err = a.modules(ctx)
	}
	stopHeartbeat()
	return a.end(ctx, signaled, err)
}

// phase logs one start and one end line around f, and records the phase.
func (a *Agent) phase(name string, f func(log *zap.Logger) error) error {
	log := a.log.With(zap.String(journal.KeyPhase, name))
	began := time.Now()
	log.Info(journal.MessagePhaseStarted)
	if a.run != nil {
		a.run.Phase = name
		a.publish(a.run)
	}
	if err := f(log); err != nil {
		return err
	}
	log.Info(journal.MessagePhaseEnded, zap.Duration("duration", time.Since(began)))
	return nil
}
