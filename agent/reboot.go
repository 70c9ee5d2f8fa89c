package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
)

// errReboot ends a run that goes on after a reboot.
var errReboot = errors.New("rebooting")

// reboot records that a module asked for a reboot and asks for it. The record is
// on disk first: the next boot must find it.
func (a *Agent) reboot(ctx context.Context, m bundle.Module, rec *record.Module, log *zap.Logger) error {
	log.Info("module asked for a reboot", zap.Int("reboots", rec.Reboots))
	a.run.Rebooting = true
	if err := errors.Join(a.synced(), a.save()); err != nil {
		return err
	}
	if err := a.Reboot(ctx); err != nil {
		return fail(CodeModule, "reboot for module %s: %w: reboot by hand, the run then goes on", m.Name, err)
	}
	return fmt.Errorf("%w for module %s (%d of at most %d): the run goes on afterwards", errReboot, m.Name, rec.Reboots, maxReboots)
}

// SystemReboot asks systemd to reboot, without waiting for it.
func SystemReboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "--no-block", "reboot").CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl reboot: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// NoReboot is for a scratch root: that machine is not this program's to reboot.
// The next start of the agent goes on as if it had been.
func NoReboot(context.Context) error { return nil }

// bootID returns the kernel's name for this boot; empty where there is none.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
