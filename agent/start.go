package agent

import (
	"context"
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
)

// start runs a module's start script once.
func (a *Agent) start(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger) (runner.Result, error) {
	timeout, err := module.ParseTimeout(m.Timeout)
	if err != nil {
		return runner.Result{}, fail(CodeModule, "module %s: %w", m.Name, err)
	}
	if a.run.UserdataSHA256 == scriptKey { // it has the whole run to itself
		timeout = a.doc.Timeout
	}
	program, args := a.have.Command(m)
	return a.script(ctx, m, rec, log, false, runner.Script{Path: program, Args: args, Timeout: timeout})
}

// script runs one of a module's scripts, its output in the module's log and, unless
// quiet, in the agent's.
func (a *Agent) script(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger, quiet bool, s runner.Script) (runner.Result, error) {
	env, err := a.environment(m, rec.Attempts)
	if err != nil {
		return runner.Result{}, err
	}
	s.Dir, s.Env, s.Log = a.have.ModuleDir(m), env, a.Paths.ModuleLog(m.Name)
	say := func(line string) { log.Info(journal.MessageOutput, zap.String(journal.KeyLine, line)) }
	if quiet {
		say = nil
	}
	result, err := runner.Runner{
		Line:    say,
		Silent:  func(d time.Duration) { log.Info(journal.MessageSilent, zap.Duration("duration", d)) },
		Secrets: a.Journal.Redactor,
	}.Run(ctx, s)
	if err != nil {
		return result, fail(CodeRecord, "run module %s: %w", m.Name, err)
	}
	return result, nil
}

// judge turns what became of start into the module's state, and returns
// module.ExitRetry or module.ExitReboot where the module asks for that and may.
func (a *Agent) judge(rec *record.Module, r runner.Result) (asked int) {
	ended := a.now()
	rec.EndedAt, rec.Seconds, rec.Outcome, rec.Signal = &ended, r.Duration.Seconds(), string(r.Outcome), r.Signal
	if r.ExitCode >= 0 {
		rec.ExitCode = &r.ExitCode
	}
	if r.Outcome == runner.Interrupted {
		rec.State = record.Interrupted
		return 0
	}
	code := r.ExitCode
	if r.Outcome != runner.Exited {
		code = -1
	}
	rec.State, rec.Reason = record.Failed, r.Reason
	switch code {
	case module.ExitDone:
		rec.State, rec.Reason = record.Succeeded, ""
	case module.ExitSkipped:
		rec.State, rec.Reason = record.Skipped, ""
	case module.ExitRetry:
		if rec.Retries++; rec.Retries <= maxRetries {
			rec.State, rec.Reason = record.Pending, ""
			return module.ExitRetry
		}
		rec.Reason = "it asked " + strconv.Itoa(maxRetries+1) + " times to be run again later: see its log for what it waits for"
	case module.ExitReboot:
		if rec.Reboots++; rec.Reboots <= maxReboots {
			rec.State, rec.Reason = record.Pending, ""
			return module.ExitReboot
		}
		rec.Reason = "it asked for a reboot after " + strconv.Itoa(maxReboots) + " reboots: see its log for what it expects of one"
	}
	if rec.State == record.Failed {
		a.blame(rec, r.Tail)
	}
	return 0
}

// blame notes the last lines of a failure, redacted: the record outlives the log.
func (a *Agent) blame(rec *record.Module, tail []string) {
	rec.Reason = a.Journal.String(rec.Reason)
	rec.Tail = nil
	for _, line := range tail {
		rec.Tail = append(rec.Tail, a.Journal.String(line))
	}
}

func logEnd(log *zap.Logger, rec *record.Module, r runner.Result) {
	took := time.Duration(rec.Seconds * float64(time.Second))
	fields := []zap.Field{zap.String("state", string(rec.State)), zap.Duration("duration", took), zap.Int("exit_code", r.ExitCode)}
	if rec.CheckFailed() {
		fields = append(fields, zap.String("check", rec.Check))
		if rec.CheckCode != nil {
			fields = append(fields, zap.Int("check_exit_code", *rec.CheckCode))
		}
	}
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
		log.Error(journal.MessageModuleEnded, append(fields, zap.String("error", rec.Reason))...)
		return
	}
	log.Info(journal.MessageModuleEnded, fields...)
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
	maps.Copy(env, a.env)
	maps.Copy(env, m.Env)
	maps.Copy(env, map[string]string{
		"PATH": sanePath, "HOME": a.Paths.join("/root"),
		module.EnvModule: m.Name, module.EnvModuleDir: a.have.ModuleDir(m), module.EnvStateDir: state,
		module.EnvBundle: a.have.Manifest.Name, module.EnvAttempt: strconv.Itoa(attempt),
		module.EnvInstanceID: a.who.InstanceID, module.EnvInstanceType: a.who.InstanceType,
		module.EnvRegion: a.who.Region, module.EnvZone: a.who.AvailabilityZone,
	})
	if tmp := a.Paths.join("/tmp"); a.Paths.Root != "/" && isDir(tmp) { // of a scratch root
		env["TMPDIR"] = tmp
	}
	if lib := a.have.Lib(); lib != "" {
		env[module.EnvLib] = lib
	}
	return environ(env), nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// environ returns env as KEY=value, sorted.
func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
