package modules_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	for _, after := range []string{"startup-agent.service", "multi-user.target"} {
		h := newHost(t, debian12)
		h.write("units/web.after", after)
		h.write("units/startup-agent.service.active", "activating")
		got := h.want(0, serve)
		wantIn(t, got.stdout, "it starts when the agent is done")
		h.wantCalls("systemctl daemon-reload", "systemctl enable web", "systemctl --no-block start web")
	}
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
