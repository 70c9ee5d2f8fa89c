package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
)

// ErrNothingToCheck means that no run is recorded.
var ErrNothingToCheck = errors.New("no run is recorded here: there is nothing to check")

// checkTimeout is what one run of a check script may take.
const checkTimeout = time.Minute

// confirm runs a module's check, where it has one, until it is good or patience
// ends; then the module has failed. What it prints is logged once, not again at each try. The error is for what ends the run.
func (a *Agent) confirm(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger) error {
	if !a.hasCheck(m) {
		return nil
	}
	began := time.Now()
	defer func() {
		ended := a.now()
		rec.EndedAt, rec.CheckSeconds = &ended, time.Since(began).Seconds()
		rec.Seconds += rec.CheckSeconds
	}()
	var said []string // by the try before
	for try := 1; ; try++ {
		result, err := a.check(ctx, m, rec, log, try > 1)
		if try > 1 && err == nil && !slices.Equal(result.Tail, said) {
			for _, line := range result.Tail {
				log.Info(journal.MessageOutput, zap.String(journal.KeyLine, line))
			}
		}
		said = result.Tail
		switch {
		case err != nil:
			return err
		case result.Outcome == runner.Interrupted:
			rec.State = record.Interrupted
			return nil
		case good(result):
			rec.Check = record.CheckGood
			log.Info("check is good", zap.Int("attempt", try), zap.Duration("duration", time.Since(began)))
			return nil
		case time.Since(began)+a.pace.checkPause > a.pace.checkPatience, result.Outcome != runner.Exited:
			rec.State, rec.Reason = record.Failed, "its start succeeded, but its check failed: "+result.Reason
			if rec.Check = record.CheckFailed; result.ExitCode >= 0 {
				rec.CheckCode = &result.ExitCode
			}
			a.blame(rec, result.Tail)
			return nil
		}
		if try == 1 {
			log.Info("check is not good yet, trying again for up to "+journal.Seconds(a.pace.checkPatience), zap.Int("exit_code", result.ExitCode))
		}
		log.Debug("check is not good yet", zap.Int("attempt", try), zap.Int("exit_code", result.ExitCode))
		select {
		case <-time.After(a.pace.checkPause):
		case <-ctx.Done():
			rec.State = record.Interrupted
			return nil
		}
	}
}

func (a *Agent) hasCheck(m bundle.Module) bool {
	_, err := os.Lstat(filepath.Join(a.have.ModuleDir(m), module.Check))
	return err == nil
}

// check runs a module's check once. Quietly, what it prints comes into the module's own
// log alone.
func (a *Agent) check(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger, quiet bool) (runner.Result, error) {
	return a.script(ctx, m, rec, log, quiet, runner.Script{Path: filepath.Join(a.have.ModuleDir(m), module.Check), Timeout: checkTimeout, Beside: true})
}

// good reports whether a check is content: 0, or 77, it does not apply.
func good(r runner.Result) bool {
	return r.Outcome == runner.Exited && (r.ExitCode == module.ExitDone || r.ExitCode == module.ExitSkipped)
}

// Checked is what became of one module's check.
type Checked struct {
	Module  string  `json:"module"`
	Result  string  `json:"result"` // good, skipped, failed, none, not-run
	Reason  string  `json:"reason,omitempty"`
	Seconds float64 `json:"seconds"`
}

// The results of a check.
const (
	CheckGood    = "good"
	CheckSkipped = "skipped" // it does not apply
	CheckFailed  = "failed"
	CheckNone    = "none"    // the module has no check
	CheckNotRun  = "not-run" // the module has not succeeded
)

// Check runs the check scripts of the bundle on this machine, of all modules or
// of the one named, and tells each result. Nothing is recorded, so it may run at
// any time. The code is CodeModule where one failed.
func (a *Agent) Check(ctx context.Context, only string, tell func(Checked)) (Code, error) {
	ctx, stop := untilSignal(ctx, syscall.SIGHUP) // nobody would see the result
	defer stop()
	if err := TrustState(a.Paths); err != nil {
		return CodeRecord, err
	}
	run, err := record.Load(a.Paths.Record())
	if errors.Is(err, record.ErrNone) {
		return CodeNoRecord, ErrNothingToCheck
	}
	if err != nil {
		return CodeRecord, err
	}
	if a.have, err = bundle.Load(ctx, a.Paths.Bundle()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return CodeNoRecord, errors.New("no bundle is unpacked here: there is nothing to check")
		}
		return CodeRecord, err
	}
	if err := a.loadKeys(); err != nil {
		return CodeOpen, err
	}
	// Modules that ran may have written into their folders: only what is signed
	// by whom, and that nothing stands beside them, is looked at.
	if _, err := a.signed(ctx, a.have, func(bundle.Module) bool { return false }); err != nil {
		return CodeOpen, err
	}
	if only != "" && run.Module(only) == nil {
		return CodeUsage, fmt.Errorf("the bundle has no module %s", only)
	}
	a.run, a.who.InstanceID = run, run.InstanceID
	if err := a.loadEnv(); err != nil {
		return codeOf(ctx, err), err
	}
	code := CodeDone
	for _, m := range a.have.Manifest.Modules {
		if only != "" && m.Name != only {
			continue
		}
		a.hide(m)
		c, err := a.checkOne(ctx, m)
		if err != nil {
			return codeOf(ctx, err), err
		}
		if c.Result == CheckFailed {
			code = CodeModule
		}
		tell(c)
	}
	return code, nil
}

func (a *Agent) checkOne(ctx context.Context, m bundle.Module) (Checked, error) {
	rec := a.run.Module(m.Name)
	switch {
	case rec == nil || (rec.State != record.Succeeded && rec.State != record.Failed):
		return Checked{Module: m.Name, Result: CheckNotRun}, nil
	case !a.hasCheck(m):
		return Checked{Module: m.Name, Result: CheckNone}, nil
	}
	heading := "[startup-agent check, " + a.now().Format("2006-01-02 15:04:05 UTC") + "]"
	if err := runner.Mark(a.Paths.ModuleLog(m.Name), heading); err != nil {
		return Checked{}, fail(CodeRecord, "run check of module %s: %w", m.Name, err)
	}
	copied := *rec
	r, err := a.check(ctx, m, &copied, a.log.With(zap.String(journal.KeyModule, m.Name)), false)
	switch {
	case err != nil:
		return Checked{}, err
	case r.Outcome == runner.Interrupted:
		return Checked{}, context.Cause(ctx)
	}
	c := Checked{Module: m.Name, Result: CheckGood, Seconds: r.Duration.Seconds()}
	switch {
	case !good(r):
		c.Result, c.Reason = CheckFailed, a.Journal.String(r.Reason)
	case r.ExitCode == module.ExitSkipped:
		c.Result = CheckSkipped
	}
	return c, nil
}
