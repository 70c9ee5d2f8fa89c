package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/rehearsal"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
)

// modules runs every module that is not yet done, in order; with Only, that one.
func (a *Agent) modules(ctx context.Context) error {
	return a.phase(PhaseModules, func(log *zap.Logger) error {
		for _, m := range a.have.Manifest.Modules { // all, before any of them can print another's
			a.hide(m)
		}
		for i, m := range a.have.Manifest.Modules {
			rec := &a.run.Modules[i]
			log := log.With(zap.String(journal.KeyModule, m.Name))
			switch {
			case a.Only != "" && m.Name != a.Only:
				continue
			case rec.State == record.Succeeded || rec.State == record.Skipped:
				log.Info("module done before")
				continue
			}
			if !a.cutOffTooOften(rec, log) {
				if err := a.module(ctx, m, rec, log); err != nil {
					return err
				}
			}
			if rec.State == record.Failed && a.run.OnFailure != module.OnFailureContinue {
				break
			}
		}
		return a.verdict()
	})
}

// verdict says whether all modules are done.
func (a *Agent) verdict() error {
	var failed, pending []string
	for _, m := range a.run.Modules {
		switch m.State {
		case record.Failed:
			failed = append(failed, m.Name)
		case record.Succeeded, record.Skipped:
		default:
			pending = append(pending, m.Name)
		}
	}
	switch {
	case len(failed) == 1:
		m := a.run.Module(failed[0])
		if m.CutOff > maxReboots {
			return fail(CodeModule, "module %s failed: %s", m.Name, m.Reason)
		}
		return fail(CodeModule, "module %s failed: %s%s", m.Name, m.Reason, a.advice(m.Name, "it"))
	case len(failed) > 1:
		return fail(CodeModule, "%d of %d modules failed: %s%s", len(failed), len(a.run.Modules), strings.Join(failed, ", "), a.advice("MODULE", "them"))
	case len(pending) > 0: // only where a person ran one module of several
		return fail(CodeModule, "not yet run: %s; run startup-agent run to go on", strings.Join(pending, ", "))
	}
	return nil
}

// advice says what to do about modules that failed. The packer knows better after
// a rehearsal, whose root may be gone by then.
func (a *Agent) advice(module, them string) string {
	if rehearsal.Read(a.Paths.Root) != nil {
		return ""
	}
	again := "startup-agent run again"
	if a.run.Unit != "" {
		again = Restart
	}
	return "; read startup-agent logs " + terminal.Quote(module) + ", fix " + them + ", then run " + again
}

// hide makes the journal redact the values of a module's secret options.
func (a *Agent) hide(m bundle.Module) {
	for _, name := range m.Secret {
		a.Journal.Add(secret.New(m.Env[name]))
	}
}

const (
	maxRetries = 8 // times that one module may ask to be run again later
	maxReboots = 5 // times that one module may ask for a reboot, as in EC2Launch v2, or be cut off by a shutdown
)

// retryWait is how long a module waits that asked to be run again, for the nth
// time: 5 s, doubled each time, at most a minute; five minutes for all tries.
func (p pace) retryWait(n int) time.Duration {
	return min(p.retryFirst<<min(n-1, maxRetries), p.retryMost)
}

// module runs one module until it has succeeded, is skipped or has failed. The
// error is for what ends the run; a module that failed is none.
func (a *Agent) module(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger) error {
	rec.Retries, rec.BeganAt = 0, nil
	for {
		again, err := a.attempt(ctx, m, rec, log)
		if err != nil || !again {
			return err
		}
		wait := a.pace.retryWait(rec.Retries)
		log.Info("module asked to be run again later", zap.Duration("wait", wait), zap.Int("attempt", rec.Attempts))
		next := a.now().Add(wait)
		a.run.NextRetryAt = &next
		if err := a.save(); err != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		a.run.NextRetryAt = nil
		if ctx.Err() != nil {
			rec.State = record.Interrupted
			return a.stopped(ctx, m, rec)
		}
	}
}

// attempt runs a module's start once, and its check after it, and settles its
// state. again: it asked to be run again later.
//
// The start is recorded before it runs; its end together with what comes next:
// the next module's start, or the end of the run.
func (a *Agent) attempt(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger) (again bool, err error) {
	began, before := a.now(), *rec
	*rec = record.Module{
		Name: m.Name, Run: m.Run, State: record.Running, StartedAt: &began,
		Attempts: rec.Attempts + 1, Retries: rec.Retries, Reboots: rec.Reboots, CutOff: rec.CutOff, LogFrom: rec.LogFrom, BeganAt: rec.BeganAt,
	}
	if rec.BeganAt == nil {
		rec.BeganAt = &began
	}
	if err := a.save(); err != nil {
		*rec = before
		return false, err
	}
	offset, err := journal.Bound(a.Paths.ModuleLog(m.Name), journal.MaxFile)
	if err != nil {
		log.Warn("module's log not bounded", zap.Error(err))
	} else if rec.LogFrom != nil && offset < *rec.LogFrom {
		rec.LogFrom = new(int64) // it was emptied since
	}
	log.Info(journal.MessageModuleStarted, zap.Int("attempt", rec.Attempts),
		zap.String("place", fmt.Sprintf("%d/%d", a.run.Index(m.Name)+1, len(a.run.Modules))), zap.Int64(journal.KeyOffset, offset))
	result, err := a.start(ctx, m, rec, log)
	if err != nil { // nothing ran
		*rec = before
		return false, err
	}
	asked := a.judge(rec, result)
	if rec.State == record.Succeeded {
		if err := a.confirm(ctx, m, rec, log); err != nil {
			rec.State = record.Interrupted // nobody knows whether it works: the next start runs it again
			return false, err
		}
	}
	logEnd(log, rec, result)
	switch {
	case rec.State == record.Interrupted:
		return false, a.stopped(ctx, m, rec)
	case asked == module.ExitReboot:
		return false, a.reboot(ctx, m, rec, log)
	}
	return asked == module.ExitRetry, nil
}

// again makes modules pending again that run at every boot, or that name.
func (a *Agent) again(which func(record.Module) bool) {
	for i, m := range a.run.Modules {
		if which(m) {
			again := record.Module{Name: m.Name, Run: m.Run, State: record.Pending, Attempts: m.Attempts, LogFrom: m.LogFrom}
			if m.State != record.Succeeded && m.State != record.Skipped {
				again.Reboots, again.CutOff = m.Reboots, m.CutOff // or it could reboot at every boot, for ever
			}
			a.run.Modules[i] = again
		}
	}
}

func everyBoot(m record.Module) bool { return m.Run == module.RunEveryBoot }

func hasEveryBoot(r *record.Run) bool { return slices.ContainsFunc(r.Modules, everyBoot) }
