// Package record is what the agent durably knows it has done.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"startup-bundle/internal/files"
)

// Version is the major version of the file. Fields may be added within it: an
// older agent ignores them, a newer one finds them zero.
const Version = 1

// maxFile bounds what is read back, in bytes.
const maxFile = 8 << 20

// State says how far a run or a module has come.
type State string

// The states. A run is never Pending or Skipped.
const (
	Pending     State = "pending"
	Running     State = "running" // found at the next start: the agent was killed, or the machine went down
	Succeeded   State = "succeeded"
	Failed      State = "failed"
	Skipped     State = "skipped"
	Interrupted State = "interrupted" // by a signal, as at a shutdown
	Idle        State = "idle"        // the userdata asks for nothing; only in a status, never recorded
	None        State = "none"        // only in what status --json prints: nothing is recorded
)

// Run is one run: what an instance does about one userdata.
type Run struct {
	Version        int        `json:"version"`
	Agent          string     `json:"agent"` // version of the agent that wrote it
	InstanceID     string     `json:"instance_id"`
	UserdataSHA256 string     `json:"userdata_sha256"`
	Userdata       string     `json:"userdata,omitempty"` // the file that was read for it, absolute; empty: metadata was asked
	State          State      `json:"state"`
	Phase          string     `json:"phase"`                    // the current, or the last
	ExitCode       int        `json:"exit_code"`                // of the agent, once ended
	Error          string     `json:"error,omitempty"`          // redacted
	Attempt        int        `json:"attempt"`                  // starts of the agent for this run
	BootID         string     `json:"boot_id,omitempty"`        // of the kernel that ran it last
	Unit           string     `json:"unit,omitempty"`           // the systemd unit that ran it in this boot; empty: none did
	PID            int        `json:"pid,omitempty"`            // of the agent that ran it last
	StartedAt      time.Time  `json:"started_at"`               // of the last attempt
	StartedUptime  float64    `json:"started_uptime,omitempty"` // of the last attempt: seconds since the kernel's start
	EndedAt        *time.Time `json:"ended_at,omitempty"`       // of the last attempt
	Bundle         *Bundle    `json:"bundle,omitempty"`         // once it is unpacked and whole
	OnFailure      string     `json:"on_failure"`               // stop or continue, as resolved
	Modules        []Module   `json:"modules,omitempty"`        // in running order
	Hooks          []Hook     `json:"hooks,omitempty"`          // those that failed or could not run, after this start or during it
	Reason         string     `json:"reason,omitempty"`         // of Idle, for people
	Rebooting      bool       `json:"rebooting,omitempty"`      // interrupted because a module asked for a reboot
	NextRetryAt    *time.Time `json:"next_retry_at,omitempty"`  // while it waits for that
}

// Hook is a hook that did not do its work.
type Hook struct {
	Path   string `json:"path"`
	Reason string `json:"reason"` // for people
}

// Bundle is the bundle in the agent's folder.
type Bundle struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the file as fetched, hex
	Bytes  int64  `json:"bytes"`
	URL    string `json:"url"` // redacted
	// VouchedBy is sha256, passphrase, https, s3 or file; or signature: and the key's
	// id. Empty for a script, and in records of agents that did not write it.
	VouchedBy string `json:"vouched_by,omitempty"`
	ByHand    bool   `json:"by_hand,omitempty"` // it has no manifest
	Whole     bool   `json:"whole"`             // it is in the agent's folder; false while it is replaced
	Durable   bool   `json:"durable"`           // and all of it is on the disk
}

// Module is what became of one module.
type Module struct {
	Name      string     `json:"name"`
	State     State      `json:"state"`
	Run       string     `json:"run,omitempty"` // every-boot; empty: once
	Attempts  int        `json:"attempts"`
	Retries   int        `json:"retries,omitempty"`    // how often it asked to be run again later
	Reboots   int        `json:"reboots,omitempty"`    // how often it asked for a reboot
	CutOff    int        `json:"cut_off,omitempty"`    // how often the machine went down while it ran
	StartedAt *time.Time `json:"started_at,omitempty"` // of the last attempt
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	Seconds   float64    `json:"seconds"` // of the last attempt
	ExitCode  *int       `json:"exit_code,omitempty"`
	Signal    string     `json:"signal,omitempty"`
	Outcome   string     `json:"outcome,omitempty"` // as agent/runner names it
	Reason    string     `json:"reason,omitempty"`  // for people, what to do
	Tail      []string   `json:"tail,omitempty"`    // last lines of a failure

	BeganAt      *time.Time `json:"began_at,omitempty"`        // of the first attempt since the agent's last start
	Check        string     `json:"check,omitempty"`           // of the last attempt: good or failed; empty: it did not run
	CheckCode    *int       `json:"check_exit_code,omitempty"` // of the check that failed
	CheckSeconds float64    `json:"check_seconds,omitempty"`   // its part of Seconds, pauses between its tries included

	// LogFrom is where in the module's own log the output of this bundle begins, in
	// bytes. Nil: not known; records of older agents do not say.
	LogFrom *int64 `json:"log_from,omitempty"`
}

// The values of Module.Check.
const (
	CheckGood   = "good"
	CheckFailed = "failed"
)

// CheckFailed reports whether the module failed though its start succeeded.
func (m *Module) CheckFailed() bool { return m.State == Failed && m.Check == CheckFailed }

// Took returns how long the module took since the agent's last start: all attempts, their
// checks, and the waits in between.
func (m *Module) Took() time.Duration {
	if m.BeganAt != nil && m.EndedAt != nil {
		return max(0, m.EndedAt.Sub(*m.BeganAt))
	}
	return time.Duration(m.Seconds * float64(time.Second)) // of an agent that did not write BeganAt
}

// Took returns how long the last start of the agent took, zero while it runs.
func (r *Run) Took() time.Duration {
	if r.EndedAt == nil {
		return 0
	}
	return max(0, r.EndedAt.Sub(r.StartedAt))
}

// Module returns the named module, nil where there is none. It points into r.
func (r *Run) Module(name string) *Module {
	for i := range r.Modules {
		if r.Modules[i].Name == name {
			return &r.Modules[i]
		}
	}
	return nil
}

// Index returns the place of the named module, from 0; -1 where there is none.
func (r *Run) Index(name string) int {
	return slices.IndexFunc(r.Modules, func(m Module) bool { return m.Name == name })
}

// After reports whether r tells of later events than old: of a later attempt,
// or of the end of one that old has no end of. So the public copy can be after the
// record: where the disk is full, only the copy tells how the run ended. The clock may
// have been set between two starts, so it decides last: r, the copy, does not outlive a
// boot.
func (r *Run) After(old *Run) bool {
	switch {
	case r.StartedAt.Equal(old.StartedAt):
	case r.BootID != "" && r.BootID != old.BootID:
		return true
	case r.StartedUptime > 0 && old.StartedUptime > 0:
		return r.StartedUptime > old.StartedUptime
	default:
		return r.StartedAt.After(old.StartedAt)
	}
	return r.EndedAt != nil && (old.EndedAt == nil || r.EndedAt.After(*old.EndedAt))
}

// Same reports whether r and other tell of the same start of the agent.
func (r *Run) Same(other *Run) bool {
	return r.StartedAt.Equal(other.StartedAt) && r.PID == other.PID
}

// public returns r without what only root may read: the modules' output.
func (r *Run) public() *Run {
	p := *r
	p.Modules = append([]Module(nil), r.Modules...)
	for i := range p.Modules {
		p.Modules[i].Tail = nil
	}
	return &p
}

// ErrNone means that there is no record.
var ErrNone = errors.New("there is no record")

// ErrDamaged means that what is there is no record that this agent can read. It
// stays in the way until somebody moves it.
var ErrDamaged = errors.New("to begin anew, move it away")

// Load reads a record. ErrNone: there is none. ErrDamaged: the file is no record;
// the error names it.
func Load(path string) (*Run, error) {
	text, err := files.Read(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNone
	case errors.Is(err, files.ErrNotRegular), errors.Is(err, files.ErrTooLarge):
		return nil, fmt.Errorf("read record: %w: %w", err, ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("read record: %w", err)
	}
	r, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w: %w", path, err, ErrDamaged)
	}
	return r, nil
}

func parse(text []byte) (*Run, error) {
	var r Run
	switch err := json.Unmarshal(text, &r); {
	case err != nil:
		return nil, fmt.Errorf("it is no JSON: %w", err)
	case r.Version < 1 || r.Version > Version:
		return nil, fmt.Errorf("its version is %d, and this agent knows %d", r.Version, Version)
	}
	return &r, nil
}

// Save replaces the file at path: a temporary file beside it, synced, renamed,
// the folder synced. Whoever reads sees the old record or the new one, whole,
// also after a power cut. Its mode is 0600.
func Save(path string, r *Run) error { return save(path, r, 0o600, true) }

// Publish is Save for the copy that everybody may read, mode 0644, without what
// only root may see. It is not synced: the next boot makes a new one.
func Publish(path string, r *Run) error { return save(path, r.public(), 0o644, false) }

func save(path string, r *Run, perm fs.FileMode, durable bool) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := replace(path, append(text, '\n'), perm, durable); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

func replace(path string, text []byte, perm fs.FileMode, durable bool) error {
	// A FIFO or device in the record's place would be lost by the rename: it was not
	// the agent that made it.
	if info, err := os.Lstat(path); err == nil && info.Mode().Type()&^fs.ModeSymlink != 0 {
		return fmt.Errorf("%s is %w: find out who made it, then remove it", path, files.ErrNotRegular)
	}
	// One fixed name: what a killed agent left is removed by the next, and the
	// agent's lock keeps two from meeting here.
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if errors.Is(err, fs.ErrExist) { // whatever it is: a FIFO would not even open
		if err = os.Remove(tmp); err == nil {
			f, err = os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
		}
	}
	if err != nil {
		return err
	}
	if err = fill(f, text, perm, durable); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // else the next Save writes over it
		return err
	}
	if !durable {
		return nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func fill(f *os.File, text []byte, perm fs.FileMode, durable bool) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil && durable {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
