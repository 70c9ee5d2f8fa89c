package agent

import "path/filepath"

// Paths are the agent's files. All derive from one root folder, "/" on an
// instance, so that a test or a rehearsal needs no privilege.
type Paths struct{ Root string }

func (p Paths) join(path string) string { return filepath.Join(p.Root, filepath.FromSlash(path)) }

// Config is the image owner's folder.
func (p Paths) Config() string { return p.join("/etc/startup-agent") }

// VerifyKeys is the image owner's file of public keys: where it is there, only
// bundles that one of them signed may run.
func (p Paths) VerifyKeys() string { return filepath.Join(p.Config(), "verify_keys") }

// State is the folder of everything that lasts: root's alone.
func (p Paths) State() string { return p.join("/var/lib/startup-agent") }

// Record is the durable record.
func (p Paths) Record() string { return filepath.Join(p.State(), "record.json") }

// Lock is held while an agent runs.
func (p Paths) Lock() string { return filepath.Join(p.State(), "lock") }

// Env is the userdata's env, for the checks.
func (p Paths) Env() string { return filepath.Join(p.State(), "env.json") }

// Hooks is the folder of what runs after a run.
func (p Paths) Hooks() string { return filepath.Join(p.Config(), "hooks.d") }

// Heartbeats is the folder of what runs every few minutes during a run.
func (p Paths) Heartbeats() string { return filepath.Join(p.Config(), "heartbeat.d") }

// HookSettings is the file of settings that the shipped hooks read, as shell.
func (p Paths) HookSettings() string { return filepath.Join(p.Config(), "hooks.env") }

// HookLog is the raw output of hooks and heartbeats.
func (p Paths) HookLog() string { return filepath.Join(p.Logs(), "hooks.log") }

// Bundle is the unpacked bundle.
func (p Paths) Bundle() string { return filepath.Join(p.State(), "bundle") }

// ModuleStates is the folder of the modules' own folders.
func (p Paths) ModuleStates() string { return filepath.Join(p.State(), "state") }

// ModuleState is a module's own folder, which outlives the bundle.
func (p Paths) ModuleState(module string) string { return filepath.Join(p.ModuleStates(), module) }

// Logs is the folder of the logs.
func (p Paths) Logs() string { return p.join("/var/log/startup-agent") }

// Log is the structured log.
func (p Paths) Log() string { return filepath.Join(p.Logs(), "agent.jsonl") }

// ModuleLogs is the folder of the modules' raw output.
func (p Paths) ModuleLogs() string { return filepath.Join(p.Logs(), "modules") }

// ModuleLog is one module's raw output.
func (p Paths) ModuleLog(module string) string { return filepath.Join(p.ModuleLogs(), module+".log") }

// Status is the public copy of the record, gone with the next boot.
func (p Paths) Status() string { return p.join("/run/startup-agent/status.json") }
