package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/internal/module"
)

// hookTimeout is what one hook may take.
const hookTimeout = 5 * time.Minute

// Hooks are programs of the image's owner, in byte order of their names, with
// these in their environment beside STARTUP_INSTANCE_ID and STARTUP_REGION.
const (
	envResult   = "RESULT"    // succeeded or failed; of a heartbeat: running
	envPhase    = "PHASE"     // the last one
	envModule   = "MODULE"    // the first that failed, or empty
	envExitCode = "EXIT_CODE" // of the agent
	envRoot     = "STARTUP_ROOT"
)

// hooks runs what is in hooks.d after a run that came to its end. It is no part
// of the run: what fails there is logged and changes nothing. An interrupted run
// has not come to its end, and a person who ran one module is told by the screen.
func (a *Agent) hooks(ctx context.Context) {
	if a.Only == "" && (a.run.State == record.Succeeded || a.run.State == record.Failed) {
		a.runHooks(ctx, a.Paths.Hooks(), a.run)
	}
	if a.mu.Lock(); len(a.faults) > 0 {
		a.run.Hooks = a.faults
	}
	a.mu.Unlock()
}

// fault notes a hook that did not do its work, once however often a heartbeat fails.
func (a *Agent) fault(path, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = slices.DeleteFunc(a.faults, func(h record.Hook) bool { return h.Path == path })
	a.faults = append(a.faults, record.Hook{Path: path, Reason: a.Journal.String(reason)})
}

// notProgram says why what stands in a folder of hooks cannot run, or "" if it can.
func notProgram(path string) string {
	info, err := os.Stat(path) // a hook is often a link to a shipped one
	to, _ := os.Readlink(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && to != "":
		return "it is a link to " + to + ", which does not exist"
	case err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return "it is not an executable file"
	}
	return ""
}

// failed returns the name of the first module that failed, or "".
func failed(r *record.Run) string {
	for _, m := range r.Modules {
		if m.State == record.Failed {
			return m.Name
		}
	}
	return ""
}

// heartbeat runs what is in heartbeat.d every few minutes until stop is called,
// which waits for one that is running.
func (a *Agent) heartbeat(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		ticker := time.NewTicker(a.pace.heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				a.runHooks(ctx, a.Paths.Heartbeats(), &record.Run{State: record.Running})
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); ended.Wait() }
}

// runHooks runs the programs in dir. A heartbeat's result is its own: the run's
// record belongs to the goroutine that runs it.
func (a *Agent) runHooks(ctx context.Context, dir string, result *record.Run) {
	trust := a.Paths.trust()
	if err := errors.Join(trust.Check(dir), trust.Check(a.Paths.HookSettings())); err != nil {
		a.fault(dir, err.Error())
		a.log.Warn("hooks not run", zap.Error(err))
		return
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log.Warn("hooks not read", zap.Error(err))
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if reason := notProgram(path); reason != "" {
			a.fault(path, reason)
			a.log.Warn("hook ignored: "+reason, zap.String("path", path))
			continue
		}
		if err := trust.Check(path); err != nil {
			a.fault(path, err.Error())
			a.log.Warn("hook not run", zap.String("path", path), zap.Error(err))
			continue
		}
		a.runHook(ctx, path, map[string]string{
			"PATH": sanePath, "HOME": a.Paths.join("/root"), envResult: string(result.State), envPhase: result.Phase, envModule: failed(result),
			envExitCode: strconv.Itoa(result.ExitCode), module.EnvInstanceID: a.who.InstanceID, module.EnvRegion: a.who.Region,
			envRoot: a.Paths.Root,
		})
	}
}

func (a *Agent) runHook(ctx context.Context, path string, env map[string]string) {
	log := a.log.With(zap.String(journal.KeyPhase, PhaseReport), zap.String("hook", filepath.Base(path)))
	if _, err := journal.Bound(a.Paths.HookLog(), journal.MaxFile); err != nil {
		log.Warn("hooks' log not bounded", zap.Error(err))
	}
	result, err := runner.Runner{
		Line:    func(line string) { log.Info(journal.MessageOutput, zap.String(journal.KeyLine, line)) },
		Secrets: a.Journal.Redactor,
	}.Run(ctx, runner.Script{Path: path, Dir: a.Paths.State(), Env: environ(env), Log: a.Paths.HookLog(), Timeout: hookTimeout})
	switch {
	case err != nil:
		a.fault(path, err.Error())
		log.Warn("hook not run", zap.Error(err))
	case result.Outcome != runner.Exited || result.ExitCode != 0:
		if ctx.Err() == nil { // else it was stopped because the run ended
			a.fault(path, strings.Replace(result.Reason, "see its log", "see "+a.Paths.HookLog(), 1))
		}
		log.Warn("hook failed", zap.String("reason", result.Reason), zap.Duration("duration", result.Duration))
	default:
		log.Info("hook ended", zap.Duration("duration", result.Duration))
	}
}
