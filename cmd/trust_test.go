package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spoil makes a path one that others than root could change. Each way has its cure.
func spoil(t *testing.T) map[string]func(path string) error {
	t.Helper()
	ways := map[string]func(path string) error{
		"chmod go-w": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Chmod(path, info.Mode()|0o002)
		},
	}
	if os.Geteuid() == 0 {
		ways["chown root"] = func(path string) error { return os.Chown(path, 65534, 65534) }
	}
	return ways
}

func TestPathsThatOthersCanChangeAreRefused(t *testing.T) {
	const (
		config = "etc/startup-agent"
		state  = "var/lib/startup-agent"
	)
	tests := map[string]struct {
		file, text string // made first
		path       string // then spoiled
		ranBefore  bool   // after a run that succeeded; the next is by --force
		code       int    // of run; 0: it runs, and the hook does not
		codeCheck  int
		baked      bool // bake-check names it
		reset      bool // reset helps
	}{
		"state folder":         {path: state, ranBefore: true, code: 16, codeCheck: 16, baked: true},
		"folder above it":      {path: "var/lib", ranBefore: true, code: 16, codeCheck: 16, baked: true},
		"the root":             {path: "", ranBefore: true, code: 16, codeCheck: 16, baked: true},
		"state before any run": {file: state + "/x", path: state, code: 16, codeCheck: 16, baked: true},
		"record":               {path: recordPath, ranBefore: true, code: 16, codeCheck: 16, reset: true},
		"bundle":               {path: state + "/bundle", ranBefore: true, code: 16, codeCheck: 16, reset: true},
		"env.json":             {path: state + "/env.json", ranBefore: true, code: 16, codeCheck: 16, reset: true},
		"config, without keys": {file: config + "/x", path: config, code: 13, codeCheck: 4, baked: true},
		"verify_keys":          {file: config + "/verify_keys", path: config + "/verify_keys", code: 13, codeCheck: 4, baked: true},
		"any file of config":   {file: config + "/key", path: config + "/key", code: -1, baked: true},
		"hooks.d":              {path: config + "/hooks.d", baked: true},
		"a hook":               {path: config + "/hooks.d/10-hook", baked: true},
		"a hook's target":      {path: "usr/lib/hook", baked: true},
		"a hook's folder":      {path: "usr/lib", baked: true},
		"hooks.env":            {file: config + "/hooks.env", path: config + "/hooks.env", baked: true},
		"heartbeat.d":          {file: config + "/heartbeat.d/x", path: config + "/heartbeat.d", code: -1, baked: true},
	}
	for name, test := range tests {
		for cure, way := range spoil(t) {
			t.Run(name+", "+cure, func(t *testing.T) {
				m := newMachine(t)
				write(t, m.path("usr/lib/hook"), "#!/bin/sh\necho hooked >>"+m.dir+"/hooked\n", 0o755)
				if test.code == 0 {
					if err := os.MkdirAll(m.path(config+"/hooks.d"), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink("../../../usr/lib/hook", m.path(config+"/hooks.d/10-link")); err != nil {
						t.Fatal(err)
					}
					write(t, m.path(config+"/hooks.d/10-hook"), "#!/bin/sh\necho hooked >>"+m.dir+"/hooked\n", 0o755)
				}
				if test.file != "" {
					write(t, m.path(test.file), test.text, 0o600)
				}
				if test.ranBefore {
					if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 0 {
						t.Fatalf("run: exit code %d: %s", code, out)
					}
				}
				before := m.ran(t)
				path := filepath.Clean(m.path(test.path))
				if err := way(path); err != nil {
					t.Fatal(err)
				}
				named := func(out string) bool {
					return strings.Contains(out, path+" is not to be trusted") && strings.Contains(out, cure)
				}
				if code, out := m.agent(t, "bake-check"); test.baked && (code != 1 || !named(out)) {
					t.Errorf("bake-check: exit code %d: %s", code, out)
				}
				code, out := m.agent(t, "run", "--force", "--userdata", m.userdata)
				switch {
				case test.code == -1: // not of use to this run
				case code != test.code || !named(out):
					t.Errorf("run: exit code %d: %s", code, out)
				case code != 0 && m.ran(t) != before:
					t.Error("the module ran")
				}
				if text, _ := os.ReadFile(filepath.Join(m.dir, "hooked")); test.code == 0 && strings.Count(string(text), "hooked") > 1 {
					t.Errorf("both hooks ran")
				} else if name != "a hook" && !strings.HasPrefix(name, "a hook's") && len(text) > 0 {
					t.Error("a hook ran")
				}
				if test.codeCheck != 0 {
					if code, out := m.agent(t, "check"); code != test.codeCheck || code == 16 && !named(out) {
						t.Errorf("check: exit code %d: %s", code, out)
					}
				}
				if test.code != 16 {
					return
				}
				code, out = m.agent(t, "reset", "--yes")
				switch {
				case test.reset && code != 0:
					t.Errorf("reset: exit code %d: %s", code, out)
				case !test.reset && (code != 16 || !named(out)):
					t.Errorf("reset: exit code %d: %s", code, out)
				}
				if test.reset {
					if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 0 || m.ran(t) != before+1 {
						t.Errorf("run after reset: exit code %d: %s", code, out)
					}
				}
			})
		}
	}
}

func TestKeyFileThatOthersCanChangeIsRefused(t *testing.T) {
	for cure, way := range spoil(t) {
		for _, spoiled := range []string{"keys/key", "keys"} {
			t.Run(spoiled+", "+cure, func(t *testing.T) {
				m := newMachine(t)
				write(t, filepath.Join(m.dir, "keys/key"), "of no bundle\n", 0o600)
				write(t, m.userdata, "#startup-bundle\nurl: file://"+m.dir+"/b.tar\nkey_from: file:"+m.dir+"/keys/key\n", 0o600)
				path := filepath.Join(m.dir, spoiled)
				if err := way(path); err != nil {
					t.Fatal(err)
				}
				if code, out := m.agent(t, "run", "--userdata", m.userdata); code != 11 || !strings.Contains(out, path+" is not to be trusted") || !strings.Contains(out, cure) {
					t.Errorf("exit code %d: %s", code, out)
				}
				if _, err := os.Lstat(m.path("var/lib/startup-agent/bundle")); err == nil || m.ran(t) != 0 {
					t.Error("the bundle is there, or ran")
				}
			})
		}
	}
}
