package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/userdata"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
)

// errNothingToDo ends a run that has nothing to run. It is no failure.
var errNothingToDo = errors.New("nothing to do")

// localInstance is the instance id where metadata is not asked.
const localInstance = "local"

// learn reads the userdata and settles from the record what is left to do:
// afterwards doc and run are set, and have where a whole bundle is there.
func (a *Agent) learn(ctx context.Context) error {
	return a.phase(PhaseUserdata, func(log *zap.Logger) error {
		raw, err := a.readUserdata(ctx)
		if err != nil {
			return err
		}
		u, err := userdata.Parse(raw)
		for _, w := range u.Warnings {
			log.Warn("userdata", zap.String("warning", w))
		}
		if err != nil {
			return fail(CodeUserdata, "read userdata: %w", err)
		}
		if u.Kind == userdata.Document || u.Kind == userdata.Script {
			if err := a.loadKeys(); err != nil {
				return err
			}
		}
		switch {
		case u.Kind == userdata.Script && !a.cloudInitActive() && a.enforced:
			return fail(CodeUserdata, "the userdata is a script, and this image runs only signed bundles (%s): pack what it does with startup-packer pack --sign-key, and launch with startup-packer userdata", a.Paths.VerifyKeys())
		case u.Kind == userdata.Script && !a.cloudInitActive():
			return a.adopt(ctx, log, u)
		case u.Kind != userdata.Document:
			return a.idle(log, u)
		}
		if err := a.allowEnv(u.Document.Env); err != nil {
			return fail(CodeUserdata, "read userdata: env: %w", err)
		}
		a.doc = u.Document
		ctx, cancel := a.limit(ctx)
		defer cancel()
		a.Journal.Add(a.doc.Key)
		for _, url := range a.doc.URLs {
			a.Journal.Add(secret.URLSecrets(url)...)
		}
		return overdue(a.resume(ctx, log, u))
	})
}

// limit starts the time that the document gives the run.
func (a *Agent) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	a.deadline = time.Now().Add(a.doc.Timeout)
	return context.WithDeadlineCause(ctx, a.deadline, errDeadline)
}

// overdue says of an error that the run's timeout caused what to do about it.
func overdue(err error) error {
	if !errors.Is(err, errDeadline) {
		return err
	}
	return fail(CodeDeadline, "%w while the agent checked or removed the bundle on the disk: raise timeout: in the userdata", err)
}

// readUserdata asks metadata who this is and for the userdata, or reads the file.
func (a *Agent) readUserdata(ctx context.Context) ([]byte, error) {
	if a.Userdata != "" {
		a.who.InstanceID = localInstance
		f, err := files.Open(a.Userdata)
		if err != nil {
			return nil, fail(CodeUserdata, "read userdata: %w", err)
		}
		defer f.Close()
		raw, err := io.ReadAll(io.LimitReader(f, document.MaxUserdata+1))
		if err != nil {
			return nil, fail(CodeUserdata, "read userdata: %w", err)
		}
		return raw, nil
	}
	id, err := a.Metadata.Identity(ctx)
	if err != nil {
		return nil, fail(CodeUserdata, "ask instance metadata who this is: %w", err)
	}
	a.who = id
	raw, err := a.Metadata.Userdata(ctx)
	if err != nil {
		return nil, fail(CodeUserdata, "ask instance metadata for userdata: %w", err)
	}
	return raw, nil
}

// idle says in one line why there is nothing to do.
func (a *Agent) idle(log *zap.Logger, u userdata.Userdata) error {
	reason := "no userdata"
	switch u.Kind {
	case userdata.Foreign:
		reason = "the userdata is not for this agent: " + u.Foreign
	case userdata.Script:
		reason = "the userdata is a script, which cloud-init runs here"
	}
	log.Info("nothing to do", zap.String("reason", reason), zap.String("instance_id", a.who.InstanceID))
	idle := a.fresh(u.Digest)
	idle.State, idle.Reason, idle.EndedAt = record.Idle, reason, &idle.StartedAt
	a.publish(idle)
	return errNothingToDo
}

// fresh makes a new record.
func (a *Agent) fresh(digest string) *record.Run {
	file := a.Userdata
	if path, err := filepath.Abs(file); err == nil && file != "" {
		file = path
	}
	return &record.Run{
		Userdata: file,
		Version:  record.Version, Agent: a.Version, InstanceID: a.who.InstanceID, UserdataSHA256: digest,
		State: record.Running, Phase: PhaseUserdata, Attempt: 1, BootID: a.BootID, Unit: a.Unit, PID: os.Getpid(), StartedAt: a.epoch.UTC(), StartedUptime: a.uptime,
	}
}

// resume compares with the record: a run of this instance and userdata that
// succeeded is left alone, but for what runs at every boot; one that did not goes
// on; anything else begins anew.
func (a *Agent) resume(ctx context.Context, log *zap.Logger, u userdata.Userdata) error {
	if err := TrustState(a.Paths); err != nil {
		return err
	}
	old, err := record.Load(a.Paths.Record())
	if err != nil && !errors.Is(err, record.ErrNone) {
		return &failure{CodeRecord, err}
	}
	a.stopCutOff(log, old)
	a.run = a.fresh(u.Digest)
	if old != nil && old.BootID == a.BootID && old.Userdata == a.run.Userdata && a.run.Unit == "" {
		a.run.Unit = old.Unit // it is still failed
	}
	a.env = a.doc.Env
	if old == nil || old.InstanceID != a.who.InstanceID || old.UserdataSHA256 != u.Digest || a.Force {
		return a.begin(ctx, old)
	}
	newBoot := old.BootID != a.BootID
	done := old.State == record.Succeeded
	switch {
	case a.Only != "":
		return a.goOn(ctx, log, old)
	case done && newBoot && a.doc.Run == document.EveryBoot:
		return a.begin(ctx, old)
	case done && newBoot && hasEveryBoot(old):
		log.Info("running what runs at every boot")
	case done:
		log.Info("nothing to do", zap.String("reason", "this userdata was taken on before"), zap.Time("at", old.StartedAt), zap.String("instance_id", a.who.InstanceID))
		a.run = old
		a.publish(old)
		return errNothingToDo
	case old.State == record.Running:
		log.Warn("the last start was cut off: the agent was killed, or the machine went down", zap.String("phase", old.Phase), zap.Time("at", old.StartedAt))
	default:
		log.Info("going on with an earlier run", zap.String("state", string(old.State)), zap.Int("attempt", old.Attempt+1))
	}
	return a.goOn(ctx, log, old)
}

// known refuses a module to be run alone that the recorded bundle does not have, before
// metadata is waited for.
func (a *Agent) known() error {
	if a.Only == "" {
		return nil
	}
	old, err := record.Load(a.Paths.Record())
	if err == nil && old.Bundle != nil && old.Module(a.Only) == nil {
		return fail(CodeUsage, "%w: the bundle has no module %s", errRefused, a.Only)
	}
	return nil // what else is wrong is told when the record is needed
}

// begin starts a run from nothing.
func (a *Agent) begin(ctx context.Context, old *record.Run) error {
	if a.Only != "" && (old == nil || old.Bundle == nil || a.Force) {
		return fail(CodeUsage, "%w: no bundle is unpacked to run module %s from: run without --only and --force first", errRefused, a.Only)
	}
	return a.clear(ctx)
}

// goOn takes over what an earlier start of this run has done, before anything is
// changed on the disk: what is recorded as done must survive whatever comes.
func (a *Agent) goOn(ctx context.Context, log *zap.Logger, old *record.Run) error {
	a.run.Attempt = old.Attempt + 1
	if old.Bundle == nil {
		return a.begin(ctx, old)
	}
	a.run.Bundle, a.run.Modules, a.run.OnFailure = old.Bundle, old.Modules, old.OnFailure
	for i := range a.run.Modules {
		m := &a.run.Modules[i]
		if old.BootID != a.BootID {
			countCutOff(old, m)
		} else if m.State == record.Interrupted { // the machine did not go down: the unit was stopped
			m.CutOff = max(0, m.CutOff-1)
		}
		if m.State == record.Running {
			log.Warn("module was cut off: running it again", zap.String(journal.KeyModule, m.Name), zap.Int("attempt", m.Attempts))
			m.State = record.Interrupted
		}
	}
	if old.BootID != a.BootID {
		a.again(everyBoot)
	}
	if a.Only != "" {
		if a.run.Module(a.Only) == nil {
			return fail(CodeUsage, "%w: the bundle has no module %s", errRefused, a.Only)
		}
		a.again(func(m record.Module) bool { return m.Name == a.Only })
		a.run.Module(a.Only).CutOff = 0 // a person asks for it
	}
	contents, err := a.unpacked(ctx)
	if ctx.Err() != nil { // nothing is known of the bundle yet: it stays
		return context.Cause(ctx)
	}
	if err != nil {
		log.Warn("the unpacked bundle is not whole: fetching it again", zap.Error(err))
		return a.clear(ctx)
	}
	a.have = contents
	if err := a.saveEnv(); err != nil { // it is not synced: a power cut may have emptied it
		return err
	}
	return a.save()
}

// unpacked returns the bundle on the disk if it is whole and the recorded one. A
// module that was started may have written into its own folder: once the bundle
// was on the disk for sure, such a folder is not compared any more.
func (a *Agent) unpacked(ctx context.Context) (*bundle.Contents, error) {
	if !a.run.Bundle.Whole {
		return nil, errors.New("it was about to be replaced")
	}
	contents, err := bundle.Load(ctx, a.Paths.Bundle())
	if err != nil {
		return nil, err
	}
	// One that lost its manifest looks like one made by hand, which has no
	// digests: then it would run without its options.
	same := contents.ByHand == a.run.Bundle.ByHand && slices.EqualFunc(contents.Manifest.Modules, a.run.Modules,
		func(m bundle.Module, r record.Module) bool { return m.Name == r.Name })
	if !same {
		return nil, errors.New("its modules are not those recorded")
	}
	compared := func(m bundle.Module) bool {
		return !a.run.Bundle.Durable || a.run.Module(m.Name).Attempts == 0
	}
	if a.enforced {
		_, err = a.signed(ctx, contents, compared)
	} else {
		err = contents.Verify(ctx, compared)
	}
	return contents, err
}

// clear makes room for a bundle. The record goes first: where it names no
// bundle, or names one that is gone, the next start fetches it.
func (a *Agent) clear(ctx context.Context) error {
	if a.run.Bundle != nil {
		a.run.Bundle.Whole, a.run.Bundle.Durable = false, false
	}
	if err := a.save(); err != nil {
		return err
	}
	err := bundle.Remove(ctx, a.Paths.Bundle())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fail(CodeRecord, "remove the last run's bundle: %w", err)
	}
	return a.saveEnv()
}
