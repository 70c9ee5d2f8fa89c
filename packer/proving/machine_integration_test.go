//go:build integration

package proving

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func script(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "thing")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ownCache gives the test a cache of its own, with the roots and packages of the
// real one, so that machines of others are not taken for its traces. It returns
// the real one.
func ownCache(t *testing.T) (shared string) {
	t.Helper()
	shared = Options{}.cache()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	own := Options{}.cache()
	for _, name := range []string{"roots", "packages"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(shared, name), 0o755), os.MkdirAll(own, 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(shared, name), filepath.Join(own, name)); err != nil {
			t.Fatal(err)
		}
	}
	return shared
}

// checkTraces reports what a machine leaves when it is not removed.
func checkTraces(t *testing.T, shared string) {
	t.Helper()
	for _, pattern := range []string{filepath.Join(Options{}.cache(), "machines", "*"), "/sys/fs/cgroup/*/sam-*", "/sys/fs/cgroup/sam-*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if _, err := os.Stat(filepath.Join(shared, "machines", filepath.Base(path))); err != nil {
				t.Errorf("%s is left", path)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil || strings.Contains(string(mounts), Options{}.cache()) {
		t.Errorf("a mount is left, or %v", err)
	}
}

func TestMachines(t *testing.T) {
	o := Options{Base: "debian12", Stderr: &bytes.Buffer{}}
	if err := o.able(Needs{Disk: &Disk{}}); err != nil {
		t.Skip(err)
	}
	o.Agent = filepath.Join(programs(t), "startup-agent") // before the cache moves: it is Go's too
	shared := ownCache(t)
	for _, test := range []struct {
		name           string
		files          map[string]string
		result, reason string
	}{
		{"a module that does its work", map[string]string{"start": "#!/bin/sh\necho changes: 0\n", "check": "#!/bin/sh\nsystemctl is-system-running\n"}, Passed, ""},
		{"a module that changes something each time", map[string]string{"start": "#!/bin/sh\necho changes: 1\n"}, Failed, "started again, thing made 1 changes"},
		{"a module that fails", map[string]string{"start": "#!/bin/sh\nexit 3\n"}, Failed, "the first run failed"},
		{"a module that fails the second time", map[string]string{"start": "#!/bin/sh\nmkdir /once\n"}, Failed, "the second run failed"},
		{"a module that is not for this system", map[string]string{"start": "#!/bin/sh\nexit 77\n"}, Skipped, ""},
		{"a module that reboots", map[string]string{"start": "#!/bin/sh\n[ -e /var/once ] || { touch /var/once; exit 194; }\n"}, Passed, ""},
		{"a module with a disk", map[string]string{
			NeedsFile: "disk: {size: 16m, folder: /disk}\nfiles: {/etc/hello: world}\n",
			"start":   "#!/bin/sh\nset -e\ngrep -q ' /disk ext4' /proc/mounts\n[ \"$(cat /etc/hello)\" = world ]\n",
		}, Passed, ""},
		{"a module that asks for metadata", map[string]string{"start": "#!/bin/sh\n! curl -s -m 5 --noproxy '*' http://169.254.169.254/ && ! curl -fs -m 5 http://169.254.169.254/\n"}, Passed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := o
			o.Source = script(t, test.files)
			said := &bytes.Buffer{}
			o.Stderr = said
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Result != test.result || !strings.HasPrefix(r.Reason, test.reason) {
				t.Errorf("%s: %s\n%s", r.Result, r.Reason, said)
			}
			checkTraces(t, shared)
		})
	}
	t.Run("a machine whose test is called off", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		o := o
		o.Source = script(t, map[string]string{"start": "#!/bin/sh\nsleep 60\n"})
		if _, err := Run(ctx, o); err == nil || ctx.Err() == nil {
			t.Errorf("error %v", err)
		}
		checkTraces(t, shared)
	})
}
