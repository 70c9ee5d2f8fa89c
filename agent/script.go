package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"startup-bundle/agent/record"
	"startup-bundle/agent/userdata"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/module"
)

const (
	// scriptModule is the name under which a userdata script is recorded and logged.
	scriptModule = "userdata"
	// scriptKey stands for the userdata's digest in the record of a script: it
	// runs once for each instance, whatever it says later. That is what images
	// that run userdata beginning with #! have always done.
	scriptKey = "script"
)

// cloudInitActive reports whether cloud-init runs on this boot. Its systemd
// generator leaves this file before any unit starts.
func (a *Agent) cloudInitActive() bool {
	_, err := os.Stat(a.Paths.join("/run/cloud-init/enabled"))
	return err == nil
}

// adopt makes a bundle of a userdata script: one folder with the script as its
// start. From there on it runs, and is recorded, logged and shown, like any.
func (a *Agent) adopt(ctx context.Context, log *zap.Logger, u userdata.Userdata) error {
	a.doc = &document.Document{Run: document.Once, Timeout: document.DefaultTimeout}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	u.Digest = scriptKey
	if err := overdue(a.resume(ctx, log, u)); err != nil || a.have != nil {
		return err
	}
	dir := filepath.Join(a.Paths.Bundle()+bundle.StageSuffix, scriptModule)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, module.Start), u.Script, 0o700)
	}
	if err == nil {
		err = os.Rename(filepath.Dir(dir), a.Paths.Bundle())
	}
	if err != nil {
		return fail(CodeRecord, "write the userdata script: %w", errors.Join(err, os.RemoveAll(filepath.Dir(dir))))
	}
	a.have, err = bundle.Load(ctx, a.Paths.Bundle())
	if ctx.Err() != nil {
		return overdue(context.Cause(ctx))
	}
	if err != nil {
		return fail(CodeRecord, "write the userdata script: %w", err)
	}
	if err := a.plan(log, &record.Bundle{Name: "userdata script", SHA256: scriptKey, URL: "userdata"}); err != nil {
		return err
	}
	if err := a.persist(); err != nil {
		return err
	}
	return a.save()
}
