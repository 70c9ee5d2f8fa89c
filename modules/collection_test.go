package modules_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/module"
)

// modules lists the folders of the collection by their start scripts.
func modules(t *testing.T) []string {
	t.Helper()
	starts, err := filepath.Glob("*/start")
	if err != nil || len(starts) < 22 {
		t.Fatalf("found %d modules: %v", len(starts), err)
	}
	names := make([]string, 0, len(starts))
	for _, start := range starts {
		names = append(names, filepath.Dir(start))
	}
	return names
}

func TestEachModuleKeepsTheContract(t *testing.T) {
	t.Parallel()
	names := modules(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(filepath.Join(name, "module.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			m, err := module.ParseSpec(source)
			if err != nil {
				t.Fatal(err)
			}
			if m.Version == "" || m.Summary == "" || len(m.OS) == 0 {
				t.Error("module.yaml lacks version, summary or os")
			}
			for _, other := range m.After {
				if !slices.Contains(names, other) {
					t.Errorf("after names %q, which is no module", other)
				}
			}
			declared := []string{}
			for option, about := range m.Options {
				declared = append(declared, option)
				if about.Help == "" {
					t.Errorf("option %s has no help", option)
				}
			}
			start := script(t, name, "start")
			used := matches(`(?m)^option ([a-z0-9_]+) `, start)
			slices.Sort(declared)
			if diff := cmp.Diff(declared, used); diff != "" {
				t.Errorf("options (-module.yaml +start):\n%s", diff)
			}
			for _, env := range matches(`OPT_([A-Z0-9_]+)`, start+script(t, name, "check")) {
				if !slices.Contains(declared, strings.ToLower(env)) {
					t.Errorf("OPT_%s is used and not declared", env)
				}
			}
			readme, err := os.ReadFile(filepath.Join(name, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"<!-- options -->\n", "<!-- /options -->\n", "## Security", "## Tried"} {
				wantIn(t, string(readme), part)
			}
		})
	}
}

// script reads an executable script of a module, and checks how it begins.
func script(t *testing.T, module, name string) string {
	t.Helper()
	path := filepath.Join(module, name)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o111 == 0 {
		t.Errorf("%s is not executable", path)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(source), "#!/usr/bin/env bash\n") {
		t.Errorf("%s is no bash script", path)
	}
	wantIn(t, string(source), "\nset -euo pipefail\n. \"${STARTUP_LIB:-../lib.sh}\"\n")
	wantNotIn(t, string(source), "169.254.169.254")
	return string(source)
}

func matches(pattern, text string) []string {
	found := []string{}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// start runs a module's own start script on the stand-in machine.
func (h *host) start(module string) result {
	h.t.Helper()
	dir, err := filepath.Abs(module)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "start"))
	cmd.Dir = dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "STARTUP_LIB=" + filepath.Join(filepath.Dir(dir), "lib.sh"),
		"STARTUP_LIB_ROOT=" + h.root, "STARTUP_MODULE=" + module,
		"STARTUP_STATE_DIR=" + filepath.Join(h.root, "state"), "TMPDIR=" + filepath.Join(h.root, "tmp"),
	}, h.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the exit code tells
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

func TestBadOptionsAreRefusedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJz0a5sq55QdaxQa14wwAcMukaKAhbyjjgZVdRk1UH5W"
	for _, test := range []struct {
		module, env, stderr string
	}{
		{"caddy", "OPT_SITE=:80 {", "option site: \":80 {\" is not allowed: give one site address"},
		{"docker", "OPT_DATA_ROOT=data", "option data_root: \"data\" is not allowed: give an absolute path"},
		{"hostname", "OPT_NAME=-x", "option name: \"-x\" is not allowed: give a host name"},
		{"hostname", "OPT_NAME=", "the instance id is not known"},
		{"java", "OPT_VERSION=7", "from 8 to 99"},
		{"nginx", "OPT_ROOT=/srv/$(id)", "option root"},
		{"nginx", "OPT_SERVER_NAME=a; include /etc/passwd", "option server_name"},
		{"node-exporter", "OPT_PORT=http", "from 1 to 65535"},
		{"postgresql", "OPT_USER=x", "option password: x needs one"},
		{"postgresql", "OPT_ALLOW=all", "networks such as 10.0.0.0/16"},
		{"rabbitmq", "OPT_ADDRESS=10.0.0.1", "give user and password"},
		{"rabbitmq", "OPT_PLUGINS=a]. [b", "plugin names"},
		{"redis", "OPT_BIND=0.0.0.0", "give a password too, or bind 127.0.0.1"},
		{"redis", "OPT_POLICY=lru", "give one of: noeviction"},
		{"sysctl", "OPT_SETTINGS=", "nothing to set"},
		{"tinydns", "OPT_IP=::1", "one IPv4 address"},
		{"users", "OPT_KEYS=", "nobody to add"},
		{"users", "OPT_KEYS=Ann " + key, "\"Ann\" is no user name"},
		{"users", "OPT_KEYS=ann ssh-ed25519 hello", "is no public SSH key"},
		{"users", "OPT_KEYS=ann -----BEGIN OPENSSH PRIVATE KEY-----", "is a private key"},
		{"volume", "OPT_MOUNT=", "option mount is required"},
		{"volume", "OPT_MOUNT=/", "/ is taken"},
		{"volume", "OPT_MOUNT=/data", "which volume?"},
	} {
		t.Run(test.module+" "+test.env, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, debian12)
			h.env = []string{test.env}
			h.write("apt-errors", strings.Repeat("E: this test installs nothing\n", 9))
			got := h.start(test.module)
			if got.code != 1 {
				t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
			}
			wantIn(t, got.stderr, test.stderr)
			got.wantChanges(t, "0")
			h.wantCalls()
		})
	}
}

func TestModulesSkipSystemsTheyAreNotWrittenFor(t *testing.T) {
	t.Parallel()
	for _, module := range []string{"tinydns", "erlang", "rabbitmq", "sbcl", "caddy", "node-exporter"} {
		h := newHost(t, amzn2023)
		if got := h.start(module); got.code != 77 {
			t.Errorf("%s: exit code %d: %s", module, got.code, got.stderr)
		}
		h.wantCalls()
	}
}
