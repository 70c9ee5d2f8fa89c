package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/terminal"
)

// stopCutOff stops what the last start of the agent left running of a module that
// nobody saw to its end: children of its script that outlived it. What a module
// left that ended by itself is a daemon, and stays.
//
// The attempt tells one from the other. After --force or reset it counts from 1
// again, so that a daemon of an attempt before can be taken for one of the attempt
// that was cut off: the module runs again anyway, and starts it.
func (a *Agent) stopCutOff(log *zap.Logger, old *record.Run) {
	if old == nil || old.BootID != a.BootID {
		return
	}
	for _, m := range old.Modules {
		if m.State != record.Running && m.State != record.Interrupted && m.Outcome != string(runner.TimedOut) {
			continue
		}
		left := runner.StopMarked(runner.InterruptGrace,
			module.EnvStateDir+"="+a.Paths.ModuleState(m.Name), module.EnvAttempt+"="+strconv.Itoa(m.Attempts))
		if left > 0 {
			log.Warn("stopped what was left running of a module that was cut off",
				zap.String(journal.KeyModule, m.Name), zap.Int("processes", left))
		}
	}
}

// countCutOff counts that the machine went down while a module ran or waited for
// its next try, and the agent could not say so itself.
func countCutOff(old *record.Run, m *record.Module) {
	if m.State == record.Running || m.State == record.Pending && m.Retries > 0 && old.NextRetryAt != nil {
		m.CutOff++
	}
}

// stopped says why a module was interrupted, and what to do. A shutdown is
// counted: the module may have asked for it, and would at every boot.
func (a *Agent) stopped(ctx context.Context, m bundle.Module, rec *record.Module) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errShutdown) {
		rec.CutOff++
	}
	if !errors.Is(cause, errDeadline) {
		return fmt.Errorf("module %s was stopped: %w", m.Name, cause)
	}
	return fmt.Errorf("module %s was stopped: %w: raise timeout: in the userdata, or see what it waited for with startup-agent logs %s",
		m.Name, errDeadline, terminal.Quote(m.Name))
}

// cutOffTooOften fails a module that was cut off by as many shutdowns as it may
// ask for by exit status, without starting it.
func (a *Agent) cutOffTooOften(rec *record.Module, log *zap.Logger) bool {
	if rec.CutOff <= maxReboots {
		return false
	}
	rec.State = record.Failed
	rec.Reason = fmt.Sprintf("the machine went down %d times while it ran, so it is not started again: "+
		"a script that needs a reboot must exit with %d and not reboot the machine itself; "+
		"once it does, run startup-agent run --force",
		rec.CutOff, module.ExitReboot)
	log.Error("module not started", zap.String("error", rec.Reason))
	return true
}
