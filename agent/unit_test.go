package agent

import (
	"testing"

	"startup-bundle/agent/record"
	"startup-bundle/internal/document"
)

func TestOwnUnit(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/system.slice/startup-agent.service\n":                             Unit,
		"12:cpu:/\n1:name=systemd:/system.slice/startup-agent.service\n0::/\n": Unit,
		"0::/user.slice/user-0.slice/session-1.scope\n":                        "",
		"0::/system.slice/my-startup-agent.service\n":                          "",
		"0::/system.slice/startup-agent.service/child\n":                       "",
		"": "",
	} {
		if got := unitOf(cgroup); got != want {
			t.Errorf("%q: %q, want %q", cgroup, got, want)
		}
	}
}

// A run that failed under the unit stays the unit's in that boot, also after it failed by
// hand: the unit is still failed.
func TestRunOfTheUnitStaysItsOwn(t *testing.T) {
	m := newMachine(t, document.Document{}, script{name: "web", start: "exit 3"})
	unit := func() string {
		t.Helper()
		r, err := record.Load(m.paths().Record())
		if err != nil {
			t.Fatal(err)
		}
		return r.Unit
	}
	for _, step := range []struct {
		of, boot, want, advice string
	}{
		{Unit, "boot-1", Unit, "then run systemctl restart startup-agent"},
		{"", "boot-1", Unit, "then run systemctl restart startup-agent"},
		{"", "boot-2", "", "then run startup-agent run again"},
	} {
		m.boot = step.boot
		if code := m.start(func(c *Config) { c.Unit = step.of }); code != CodeModule {
			t.Fatal(code)
		}
		if got := unit(); got != step.want {
			t.Errorf("%+v: the record says %q", step, got)
		}
		m.logged(step.advice)
	}
}
