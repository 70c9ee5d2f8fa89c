package modules_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const serve = "put_file $R/etc/conf <<<\"${CONF:-one}\"\nsvc_up web\n"

func TestServiceComesUpOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, serve).wantChanges(t, "3")
	h.wantCalls("systemctl daemon-reload", "systemctl enable web", "systemctl start web")
	h.want(0, serve).wantChanges(t, "0")
	h.wantCalls()
}

func TestServiceTakesANewFile(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, serve)
	h.calls()
	h.env = []string{"CONF=two"}
	h.want(0, serve).wantChanges(t, "2")
	h.wantCalls("systemctl daemon-reload", "systemctl restart web")
	h.env = []string{"CONF=three"}
	h.want(0, "put_file $R/etc/conf <<<three\nsvc_up --reload web").wantChanges(t, "2")
	h.wantCalls("systemctl daemon-reload", "systemctl reload web")
}

func TestEveryServiceOfAModuleTakesANewFile(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	const script = "put_file $R/etc/conf <<<\"${CONF:-one}\"\nsvc_up socket web\n"
	h.want(0, script)
	h.calls()
	h.env = []string{"CONF=two"}
	h.want(0, script).wantChanges(t, "3")
	h.wantCalls("systemctl daemon-reload", "systemctl restart socket", "systemctl restart web")
	h.want(0, script).wantChanges(t, "0")
}

func TestARestartCutOffIsMadeGood(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, serve)
	h.calls()
	h.env = []string{"CONF=two"}
	if got := h.run("put_file $R/etc/conf <<<two\nkill -9 $$\n"); got.code != -1 {
		t.Fatalf("exit code %d", got.code)
	}
	h.want(0, serve).wantChanges(t, "1") // the file is right already
	h.wantCalls("systemctl daemon-reload", "systemctl restart web")
	h.want(0, serve).wantChanges(t, "0")
	h.wantCalls()
}

func TestARestartThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, serve)
	h.env = []string{"CONF=two"}
	broken := h.write("units/web.broken", "")
	got := h.want(1, serve)
	wantIn(t, got.stderr, "the last words of the unit")
	wantIn(t, got.stderr, "error: web does not run")
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	h.calls()
	h.want(0, serve).wantChanges(t, "1")
	h.wantCalls("systemctl daemon-reload", "systemctl restart web")
}

func TestAStartThatLiesIsFoundOut(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("units/web.condition", "") // start exits 0, nothing runs
	wantIn(t, h.want(1, serve).stderr, "web does not run")
	if !h.exists("state/sample.dirty") {
		t.Error("the mark is gone though nothing took the change")
	}
}

func TestAUnitOrderedAfterTheAgentIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	const agent = "startup-agent.service"
	running := map[string]string{agent + ".job": "start running"}
	tests := map[string]struct {
		units map[string]string // files of the stand-in
		waits bool              // a start would wait for ever
	}{
		"after the agent": {units: map[string]string{"web.after": agent}, waits: true},
		"after a unit of the queue after the agent": {units: map[string]string{"web.after": "app", "app.after": agent, "app.job": "start waiting"}, waits: true},
		"after one that has no job":                 {units: map[string]string{"web.after": "app", "app.after": agent}},
		"after one that is active":                  {units: map[string]string{"web.after": "app", "web.wants": "app", "app.after": agent, "app.active": ""}},
		"after one that is active and restarts":     {units: map[string]string{"web.after": "app", "app.after": agent, "app.active": "", "app.job": "restart waiting"}, waits: true},
		"after one that is stopped":                 {units: map[string]string{"web.after": "app", "app.after": agent, "app.job": "stop waiting"}},
		"after one that it needs":                   {units: map[string]string{"web.after": "app", "web.wants": "other app", "app.after": agent}, waits: true},
		"needs one that it is not ordered after":    {units: map[string]string{"web.wants": "app", "app.after": agent}},
		"after one that what it needs needs":        {units: map[string]string{"web.after": "db", "web.wants": "app", "app.wants": "db", "db.after": agent}, waits: true},
		"four units away": {units: map[string]string{
			"web.after": "a", "a.after": "b", "b.after": "c", "c.after": agent, "a.job": "start", "b.job": "start", "c.job": "start",
		}, waits: true},
		"a circle that does not have the agent":      {units: map[string]string{"web.after": "a", "web.wants": "a", "a.after": "b web", "a.wants": "b web", "b.after": "a web", "b.job": "start"}},
		"a target that waits for all that it starts": {units: map[string]string{"web.after": "multi-user.target", "multi-user.target.after": agent, "multi-user.target.job": "start waiting"}, waits: true},
		"another unit of a like name":                {units: map[string]string{"web.after": "my-" + agent, "my-" + agent + ".job": "start"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, agentRuns := range []bool{true, false} {
				h := newHost(t, debian12)
				for file, text := range test.units {
					h.write("units/"+file, text)
				}
				if agentRuns {
					for file, text := range running {
						h.write("units/"+file, text)
					}
				}
				start := "systemctl start web"
				if test.waits && agentRuns {
					start = "systemctl --no-block start web"
				}
				got := h.want(0, serve)
				h.wantCalls("systemctl daemon-reload", "systemctl enable web", start)
				if said := strings.Contains(got.stdout, "when the agent is done"); said != (test.waits && agentRuns) {
					t.Errorf("it says %q", got.stdout)
				}
			}
		})
	}
}

func TestARestartThatWouldWaitForTheAgentIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, serve)
	h.calls()
	h.write("units/web.after", "startup-agent.service")
	h.write("units/startup-agent.service.job", "start running")
	for _, how := range []string{"restart", "reload"} {
		h.env = []string{"CONF=" + how}
		script := serve
		if how == "reload" {
			script = strings.Replace(serve, "svc_up", "svc_up --reload", 1)
		}
		h.want(0, script)
		h.wantCalls("systemctl daemon-reload", "systemctl --no-block "+how+" web")
	}
	h.want(0, strings.Replace(serve, "svc_up", "svc_up --reload", 1))
	h.wantCalls()
}

func TestWithoutSystemdAServiceIsOnlyEnabled(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	if err := os.RemoveAll(filepath.Join(h.root, "run/systemd")); err != nil {
		t.Fatal(err)
	}
	h.want(0, serve).wantChanges(t, "2")
	h.wantCalls("systemctl enable web")
	h.want(0, serve).wantChanges(t, "0")
}

func TestWaitFor(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, "n=0\nthird() { n=$((n + 1)); [ $n = 3 ]; }\nwait_for 1m third\nlog $n")
	h.wantCalls("sleep 0.5", "sleep 0.5")
	got := h.want(1, "wait_for 0 false hunter2")
	wantIn(t, got.stderr, "gave up waiting for: false")
	wantNotIn(t, got.stderr, "hunter2")
}

func TestAsking(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, debian12)
	h.env = []string{"PORT=" + port}
	h.want(0, "port_open $PORT\n[ \"$(http_get 127.0.0.1 $PORT /healthz)\" = ok ]")
	got := h.want(1, "http_get 127.0.0.1 $PORT /other >$R/body || { cat $R/body; exit 1; }")
	wantIn(t, got.stderr, "/other answered 404")
	server.Close()
	h.want(0, "! port_open $PORT\n! http_get 127.0.0.1 $PORT /healthz 2>/dev/null")
}
