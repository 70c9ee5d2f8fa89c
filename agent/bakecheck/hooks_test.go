package bakecheck_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/bakecheck"
)

func TestHooksThatCouldNotRun(t *testing.T) {
	const hooks, shipped = "etc/startup-agent/hooks.d/", "usr/share/startup-agent/hooks/webhook"
	tests := map[string]struct {
		set  func(image)
		want string // of the finding; empty: none
	}{
		"a link to a shipped hook": {func(i image) { i.link("/"+shipped, hooks+"webhook") }, ""},
		"a relative link":          {func(i image) { i.link("../../../"+shipped, hooks+"webhook") }, ""},
		"a link to such a link": {func(i image) {
			i.link("/"+shipped, "opt/hook")
			i.link("/opt/hook", hooks+"webhook")
		}, ""},
		"a dead link": {
			func(i image) { i.link("/usr/lib/startup-agent/hooks/webhook", hooks+"webhook") },
			"the hook /etc/startup-agent/hooks.d/webhook is a link to /usr/lib/startup-agent/hooks/webhook, which does not exist",
		},
		"a dead relative link":     {func(i image) { i.link("nothing", hooks+"webhook") }, "hooks.d/webhook is a link to nothing, which does not exist"},
		"a file without x":         {func(i image) { i.write(hooks+"webhook", "#!/bin/sh\n") }, "hooks.d/webhook is not an executable file"},
		"a folder":                 {func(i image) { i.mkdir(hooks + "webhook") }, "hooks.d/webhook is not an executable file"},
		"a heartbeat's, dead link": {func(i image) { i.link("/nothing", "etc/startup-agent/heartbeat.d/asg") }, "heartbeat.d/asg is a link to /nothing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := ready(t)
			i.write(shipped, "#!/bin/sh\n")
			if err := os.Chmod(filepath.Join(i.root, shipped), 0o755); err != nil {
				t.Fatal(err)
			}
			test.set(i)
			findings, err := bakecheck.Check(agent.Paths{Root: i.root}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, f := range findings {
				if strings.Contains(f.What, "the hook ") {
					told = append(told, f.What)
				}
			}
			if got := strings.Join(told, "\n"); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}
