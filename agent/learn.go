package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/record"
	"startup-bundle/agent/userdata"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
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
		if u.Kind != userdata.Document {
			return a.idle(log, u)
		}
		a.doc = u.Document
		a.Journal.Add(a.doc.Key)
		for _, url := range a.doc.URLs {
			a.Journal.Add(secret.URLSecrets(url)...)
		}
		return a.resume(log, u)
	})
}

// readUserdata asks metadata who this is and for the userdata, or reads the file.
func (a *Agent) readUserdata(ctx context.Context) ([]byte, error) {
	if a.Userdata != "" {
		a.who.InstanceID = localInstance
		f, err := os.Open(a.Userdata)
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
		reason = "the userdata is a script"
	}
	log.Info("nothing to do", zap.String("reason", reason), zap.String("instance_id", a.who.InstanceID))
	idle := a.fresh(u.Digest)
	idle.State, idle.Reason, idle.EndedAt = record.Idle, reason, &idle.StartedAt
	a.publish(idle)
	return errNothingToDo
}

// fresh makes a new record.
func (a *Agent) fresh(digest string) *record.Run {
	return &record.Run{
		Version: record.Version, Agent: a.Version, InstanceID: a.who.InstanceID, UserdataSHA256: digest,
		State: record.Running, Phase: PhaseUserdata, Attempt: 1, BootID: bootID(), StartedAt: time.Now().UTC(),
	}
}

// resume compares with the record: a run of this instance and userdata that
// succeeded is left alone, one that did not goes on, anything else begins anew.
func (a *Agent) resume(log *zap.Logger, u userdata.Userdata) error {
	old, err := record.Load(a.Paths.Record())
	if err != nil && !errors.Is(err, record.ErrNone) {
		return &failure{CodeRecord, err}
	}
	same := old != nil && old.InstanceID == a.who.InstanceID && old.UserdataSHA256 == u.Digest
	if same && old.State == record.Succeeded {
		log.Info("nothing to do", zap.String("reason", "this userdata was taken on before"), zap.Time("at", old.StartedAt), zap.String("instance_id", a.who.InstanceID))
		a.publish(old)
		return errNothingToDo
	}
	a.run = a.fresh(u.Digest)
	if !same {
		return a.clear()
	}
	a.run.Attempt = old.Attempt + 1
	log.Info("going on with an earlier run", zap.String("state", string(old.State)), zap.Int("attempt", a.run.Attempt))
	if old.Bundle == nil {
		return a.clear()
	}
	contents, err := bundle.Load(a.Paths.Bundle())
	if err == nil {
		err = contents.Verify()
	}
	if err != nil {
		log.Warn("the unpacked bundle is not whole: fetching it again", zap.Error(err))
		return a.clear()
	}
	a.have, a.run.Bundle, a.run.Modules, a.run.OnFailure = contents, old.Bundle, old.Modules, old.OnFailure
	return nil
}

// clear removes what another run left.
func (a *Agent) clear() error {
	for _, dir := range []string{a.Paths.Bundle(), a.Paths.Bundle() + bundle.StageSuffix} {
		if err := os.RemoveAll(dir); err != nil {
			return fail(CodeRecord, "remove the last run's bundle: %w", err)
		}
	}
	return a.save()
}

// bootID returns the kernel's name for this boot; empty where there is none.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
