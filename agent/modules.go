package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
)

// modules runs every module that is not yet done, in order.
func (a *Agent) modules(ctx context.Context) error {
	return a.phase(PhaseModules, func(log *zap.Logger) error {
		var failed []string
		for i, m := range a.have.Manifest.Modules {
			done := &a.run.Modules[i]
			if done.State == record.Succeeded || done.State == record.Skipped {
				log.Info("module done before", zap.String(journal.KeyModule, m.Name))
				continue
			}
			a.hide(m)
			if err := a.module(ctx, m, done, log.With(zap.String(journal.KeyModule, m.Name))); err != nil {
				return err
			}
			if done.State != record.Failed {
				continue
			}
			failed = append(failed, m.Name)
			if a.run.OnFailure != module.OnFailureContinue {
				return fail(CodeModule, "module %s failed: %s; read startup-agent logs %s, mend it, then run startup-agent run again", m.Name, done.Reason, m.Name)
			}
		}
		if len(failed) > 0 {
			return fail(CodeModule, "%d of %d modules failed: %v; read startup-agent logs MODULE, mend them, then run startup-agent run again", len(failed), len(a.run.Modules), failed)
		}
		return nil
	})
}

// hide makes the journal redact the values of a module's secret options.
func (a *Agent) hide(m bundle.Module) {
	for _, name := range m.Secret {
		a.Journal.Add(secret.New(m.Env[name]))
	}
}

// module runs one module. Its start is recorded before it runs, its end together
// with the next transition: the next module's start, or the end of the run. The
// error is for what ends the run; a module that failed is none.
func (a *Agent) module(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger) error {
	script, err := a.script(m, rec)
	if err != nil {
		return err
	}
	began := time.Now().UTC()
	*rec = record.Module{Name: m.Name, State: record.Running, Attempts: rec.Attempts + 1, StartedAt: &began}
	if err := a.save(); err != nil {
		return err
	}
	log.Info("module started", zap.Int("attempt", rec.Attempts))
	result, err := runner.Runner{
		Line:   func(line string) { log.Info(journal.MessageOutput, zap.String(journal.KeyLine, line)) },
		Silent: func(d time.Duration) { log.Info("module still running, silent", zap.Duration("duration", d)) },
	}.Run(ctx, script)
	if err != nil {
		return fail(CodeRecord, "run module %s: %w", m.Name, err)
	}
	a.judge(rec, result)
	logEnd(log, rec, result)
	if rec.State != record.Interrupted {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errDeadline) {
		return fmt.Errorf("module %s was stopped: %w", m.Name, cause)
	}
	return fmt.Errorf("module %s was stopped: %w: raise timeout: in the userdata, or see what it waited for with startup-agent logs %s", m.Name, errDeadline, m.Name)
}

// judge turns what became of the script into the module's state.
func (a *Agent) judge(rec *record.Module, r runner.Result) {
	ended := time.Now().UTC()
	rec.EndedAt, rec.Seconds, rec.Outcome, rec.Signal = &ended, r.Duration.Seconds(), string(r.Outcome), r.Signal
	if r.ExitCode >= 0 {
		rec.ExitCode = &r.ExitCode
	}
	switch {
	case r.Outcome == runner.Interrupted:
		rec.State = record.Interrupted
	case r.Outcome == runner.Exited && r.ExitCode == module.ExitDone:
		rec.State = record.Succeeded
	case r.Outcome == runner.Exited && r.ExitCode == module.ExitSkipped:
		rec.State = record.Skipped
	default:
		rec.State, rec.Reason = record.Failed, a.Journal.String(r.Reason)
		for _, line := range r.Tail {
			rec.Tail = append(rec.Tail, a.Journal.String(line))
		}
	}
}

func logEnd(log *zap.Logger, rec *record.Module, r runner.Result) {
	fields := []zap.Field{zap.String("state", string(rec.State)), zap.Duration("duration", r.Duration), zap.Int("exit_code", r.ExitCode)}
	if r.Signal != "" {
		fields = append(fields, zap.String("signal", r.Signal))
	}
	if r.Leftovers {
		fields = append(fields, zap.Bool("processes_left", true))
	}
	if r.LogFull {
		log.Warn("the disk of the logs is full: output is missing")
	}
	if rec.State == record.Failed {
		log.Error("module ended", append(fields, zap.String("error", rec.Reason))...)
		return
	}
	log.Info("module ended", fields...)
}

// script says how to run a module's start.
func (a *Agent) script(m bundle.Module, rec *record.Module) (runner.Script, error) {
	timeout, err := module.ParseTimeout(m.Timeout)
	if err != nil {
		return runner.Script{}, fail(CodeModule, "module %s: %w", m.Name, err)
	}
	env, err := a.environment(m, rec.Attempts+1)
	if err != nil {
		return runner.Script{}, err
	}
	program, args := a.have.Command(m)
	return runner.Script{Path: program, Args: args, Dir: a.have.ModuleDir(m), Env: env, Log: a.Paths.ModuleLog(m.Name), Timeout: timeout}, nil
}

// sanePath is the PATH of every script.
const sanePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is the whole environment of a module's scripts, sorted: the
// document's env, then the options, then the contract, later ones over earlier.
func (a *Agent) environment(m bundle.Module, attempt int) ([]string, error) {
	state := a.Paths.ModuleState(m.Name)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fail(CodeRecord, "make state folder of module %s: %w", m.Name, err)
	}
	env := map[string]string{}
	maps.Copy(env, a.doc.Env)
	maps.Copy(env, m.Env)
	maps.Copy(env, map[string]string{
		"PATH": sanePath, "HOME": a.Paths.join("/root"),
		module.EnvModule: m.Name, module.EnvModuleDir: a.have.ModuleDir(m), module.EnvStateDir: state,
		module.EnvBundle: a.run.Bundle.Name, module.EnvAttempt: strconv.Itoa(attempt),
		module.EnvInstanceID: a.who.InstanceID, module.EnvInstanceType: a.who.InstanceType,
		module.EnvRegion: a.who.Region, module.EnvZone: a.who.AvailabilityZone,
	})
	if lib := a.have.Lib(); lib != "" {
		env[module.EnvLib] = lib
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list, nil
}
