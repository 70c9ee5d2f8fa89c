package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	packer "startup-bundle/cmd/startup-packer/cli"
)

// A filesystem without inodes and one without space fail with the same ENOSPC: what is
// said names the one that it is.
func TestFullDiskIsNamedForWhatItLacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts small filesystems, which needs root")
	}
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprintf("b/hello/%03d", i)] = strings.Repeat("x", 10_000)
	}
	for name, test := range map[string]struct{ options, want, not string }{
		"no inodes": {"size=64m,nr_inodes=100", "df -i", "df -h"},
		"no space":  {"size=1m,nr_inodes=10000", "df -h", "df -i"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			files["b/hello/start"] = "#!/bin/sh\necho ran >>" + m.dir + "/ran\n"
			handMade(t, filepath.Join(m.dir, "b.tar"), files)
			if err := os.MkdirAll(m.root, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", m.root, "tmpfs", 0, "mode=755,"+test.options); err != nil {
				t.Skip("no tmpfs here: ", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(m.root, unix.MNT_DETACH) })
			for _, run := range []func() (int, string){
				func() (int, string) { return m.agent(t, "run", "--userdata", m.userdata) },
				func() (int, string) {
					return said(t, packer.Main, "unpack", filepath.Join(m.dir, "b.tar"), filepath.Join(m.root, "there"))
				},
			} {
				code, out := run()
				if code != 16 || !strings.Contains(out, test.want) || strings.Contains(out, test.not) || strings.Contains(out, "\ufffd") {
					t.Errorf("exit code %d: %s", code, out)
				}
			}
			if m.ran(t) != 0 {
				t.Error("the module ran")
			}
			for _, left := range []string{"there", "there.unverified", "var/lib/startup-agent/bundle", "var/lib/startup-agent/bundle.unverified"} {
				if _, err := os.Lstat(m.path(left)); err == nil {
					t.Errorf("%s is left", left)
				}
			}
		})
	}
}
