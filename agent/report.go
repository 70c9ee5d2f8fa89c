package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/internal/files"
)

// errRefused is a start that was not to be: it touches neither record nor status.
var errRefused = errors.New("not started")

// restoreStatus makes the public copy tell again of what was done before, unless
// it is another agent's that runs.
func (a *Agent) restoreStatus(err error) {
	if codeOf(context.Background(), err) != CodeUsage {
		return
	}
	if old, err := record.Load(a.Paths.Record()); err == nil {
		a.publish(old)
	} else {
		_ = os.Remove(a.Paths.Status())
	}
}

// end records how the run ended, logs it as the last line, and gives the exit code.
// hooks is the context of what runs afterwards.
func (a *Agent) end(ctx, hooks context.Context, err error) Code {
	err = files.Room(err, a.Paths.State())
	code := codeOf(ctx, err)
	if errors.Is(err, errRefused) {
		a.log.Error(journal.MessageRefused, zap.Int("exit_code", int(code)), zap.Duration("duration", time.Since(a.epoch)), zap.Error(err))
		a.restoreStatus(err)
		return code
	}
	saved := a.run != nil
	if !saved { // nothing was begun: the record of what was done before stays
		a.run = a.fresh("")
		a.conclude(code, err)
		a.publish(a.run)
	} else {
		code, err = a.recordRun(code, err)
	}
	a.hooks(hooks)
	a.recordHooks(saved)
	fields := []zap.Field{zap.Int("exit_code", int(code)), zap.Duration("duration", a.run.Took()), zap.String(journal.KeyPhase, a.run.Phase)}
	if a.run.Bundle != nil {
		fields = append(fields, zap.String("bundle", a.run.Bundle.Name))
	}
	switch {
	case err == nil:
		a.log.Info(journal.MessageSucceeded, fields...)
	case errors.Is(err, errReboot):
		a.log.Info(journal.MessageRebooting, append(fields, zap.Error(err))...)
	case code == CodeInterrupted:
		a.log.Warn(journal.MessageInterrupted, append(fields, zap.Error(err))...)
	default:
		a.log.Error(journal.MessageFailed, append(fields, zap.Error(err))...)
	}
	return code
}

// recordHooks records which hooks did not do their work; where there is no record of
// this run, its public copy tells it alone. It does not matter enough to fail a run.
func (a *Agent) recordHooks(saved bool) {
	switch {
	case len(a.run.Hooks) == 0:
	case !saved:
		a.publish(a.run)
	default:
		if err := a.save(); err != nil {
			a.log.Warn("failed hooks not recorded", zap.Error(err))
			a.publish(a.run)
		}
	}
}

// recordEnd records how the run ended, and returns that: a run that cannot be
// recorded has not succeeded. At least its public copy then says so.
func (a *Agent) recordEnd(code Code, err error) (Code, error) {
	a.conclude(code, err)
	saveErr := a.save()
	if saveErr == nil {
		return code, err
	}
	if code == CodeDone {
		code, err = CodeRecord, saveErr
		a.conclude(code, err)
		saveErr = a.save() // the disk may have the success already, but not for sure
	} else if code != CodeRecord {
		a.log.Error("record not written", zap.Error(saveErr))
	}
	if saveErr != nil {
		a.publish(a.run)
	}
	return code, err
}

// recordRun records how the run ended, and that the bundle is on the disk. The
// modules' end need not wait for that, and a shutdown does not wait for it at all.
func (a *Agent) recordRun(code Code, err error) (Code, error) {
	if len(a.sync) == 0 { // not yet, or there is nothing to wait for
		code, err = a.recordEnd(code, err)
		if a.sync == nil || code == CodeInterrupted {
			return code, err
		}
	}
	if syncErr := a.synced(); syncErr != nil {
		if code == CodeDone {
			code, err = CodeRecord, syncErr
		} else {
			a.log.Error("bundle not on the disk", zap.Error(syncErr))
		}
	}
	return a.recordEnd(code, err)
}

func (a *Agent) conclude(code Code, err error) {
	ended := a.now()
	a.run.EndedAt, a.run.ExitCode, a.run.NextRetryAt = &ended, int(code), nil
	switch {
	case err == nil:
		a.run.State, a.run.Phase = record.Succeeded, PhaseReport
	case code == CodeInterrupted:
		a.run.State, a.run.Error = record.Interrupted, a.Journal.String(err.Error())
	default:
		a.run.State, a.run.Error = record.Failed, a.Journal.String(err.Error())
	}
}

// publish writes the public copy of the record. It does not matter enough to
// fail a run.
func (a *Agent) publish(r *record.Run) {
	path := a.Paths.Status()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	err = errors.Join(err, record.Publish(path, r))
	switch {
	case errors.Is(err, files.ErrNotRegular) && !a.warned:
		a.warned = true
		a.log.Warn("status not written", zap.Error(err))
	case err != nil:
		a.log.Debug("status not written", zap.Error(err))
	}
}
