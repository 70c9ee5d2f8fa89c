package screen

import (
	"errors"
	"io/fs"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/internal/rehearsal"
)

// View is what is known of the last run.
type View struct {
	Run      *record.Run // nil: nothing is recorded
	Unread   error       // why the record cannot be read, if it cannot: Run is then its public copy, or nil
	Before   *record.Run // the record, where Run is of a later start that came to no modules; else nil
	Alive    bool        // an agent runs now
	Public   bool        // only what everybody may read is known
	Reported bool        // the agent has started since this machine has
	Output   []string    // the last lines of the module that runs or was cut off, oldest first, redacted
	Last     string      // the log's last line but for output, as people read it
	At       time.Time   // when the last of Output was printed or, without any, Last; zero: not known
	Now      time.Time   // of a run that goes on: by its own clock
	Root     string      // --root, to be repeated in commands; empty: /

	Rehearsal *rehearsal.Note // where the run was a rehearsal; else nil
	unread    string          // the file that Unread is about
}

// outputLines is how many of a module's last lines a screen shows.
const outputLines = 10

// Look gathers what is known, from the files alone.
func Look(root string, now time.Time) View {
	paths := agent.Paths{Root: root}
	v := View{Now: now, Root: root}
	if root == "/" {
		v.Root = ""
	} else {
		v.Rehearsal = rehearsal.Read(root)
	}
	public, publicErr := record.Load(paths.Status())
	v.Reported = publicErr == nil
	r, err := record.Load(paths.Record())
	switch {
	case err == nil && (publicErr != nil || !public.After(r)):
		if v.Run = r; publicErr == nil && r.State == record.Running && public.Same(r) {
			r.Phase = public.Phase // a phase's beginning is not worth a sync of the disk
		}
	case publicErr == nil: // newer, or all that this user may read
		if v.Run = public; err == nil && len(public.Modules) == 0 && len(r.Modules) > 0 {
			v.Before = r
		}
	}
	v.Public = errors.Is(err, fs.ErrPermission)
	if err != nil && !errors.Is(err, record.ErrNone) && (v.Run == nil || !v.Public) {
		v.Unread, v.unread = err, paths.Record()
	} else if errors.Is(publicErr, record.ErrDamaged) {
		v.Unread, v.unread = publicErr, paths.Status()
	}
	v.Alive = agent.Alive(paths, v.Run)
	if v.Alive && v.Run != nil {
		v.Now = onClockOf(v.Run, now, journal.UptimeSeconds())
	}
	v.read(paths)
	return v
}

// onClockOf returns the present by the clock that a run's times are of: it may have
// been set since the run started.
func onClockOf(r *record.Run, now time.Time, uptime float64) time.Time {
	if r.StartedUptime <= 0 || uptime < r.StartedUptime {
		return now
	}
	return r.StartedAt.Add(time.Duration((uptime - r.StartedUptime) * float64(time.Second)))
}

// read takes the last lines from the log, where it may be read.
func (v *View) read(paths agent.Paths) {
	if v.Run == nil || v.Run.State != record.Running && v.Run.State != record.Interrupted && v.Code() != agent.CodeDeadline {
		return
	}
	last, at, err := journal.Output(paths.Log(), "", 1)
	if err != nil {
		return
	}
	if v.At = at; len(last) > 0 {
		v.Last = last[0]
	}
	if m := v.current(); m != nil {
		if v.Output, at, _ = journal.Output(paths.Log(), m.Name, outputLines); !at.IsZero() {
			v.At = at
		}
	}
}

// current returns the module that runs, or was cut off; nil where none was.
func (v *View) current() *record.Module {
	for i, m := range v.Run.Modules {
		if m.State == record.Running || m.State == record.Interrupted {
			return &v.Run.Modules[i]
		}
	}
	return nil
}

// Died reports whether the record says that an agent runs, and none does: it was
// killed, or the machine went down under it.
func (v *View) Died() bool { return v.Run != nil && v.Run.State == record.Running && !v.Alive }

// Code is the exit code of status. A run that died counts as interrupted: like
// one that was, it goes on at the next start.
func (v *View) Code() agent.Code {
	switch {
	case v.Run == nil && v.Unread != nil:
		return agent.CodeRecord
	case v.Run == nil:
		return agent.CodeNoRecord
	case v.Died():
		return agent.CodeInterrupted
	case v.Run.State == record.Running:
		return agent.CodeRunning
	}
	return agent.Code(v.Run.ExitCode)
}

// Ended reports whether this boot's run is over. It is not before the agent has
// reported since the machine started: what is recorded is then of a boot before.
func (v *View) Ended() bool {
	return v.Run == nil && v.Unread != nil || v.Reported && v.Run != nil && v.Code() != agent.CodeRunning
}

// Result is the record as a program gets it: with the state and the exit code
// that Code gives.
func (v *View) Result() *record.Run {
	if v.Run == nil {
		r := &record.Run{Version: record.Version, State: record.None, ExitCode: int(v.Code())}
		if v.Unread != nil {
			r.State, r.Error = record.Failed, v.Unread.Error()
		}
		return r
	}
	r := *v.Run
	if v.Died() {
		r.State, r.ExitCode, r.Error = record.Interrupted, int(v.Code()), died
	}
	return &r
}
