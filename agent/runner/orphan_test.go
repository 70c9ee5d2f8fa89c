package runner_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"startup-bundle/agent/runner"
)

// agentVariable makes this test binary an agent that runs one Script in JSON.
const agentVariable = "RUNNER_TEST_AGENT"

func TestMain(m *testing.M) {
	var s runner.Script
	if text := os.Getenv(agentVariable); text != "" {
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			panic(err)
		}
		_, _ = runner.Runner{}.Run(context.Background(), s)
		return
	}
	os.Exit(m.Run())
}

// killAgent runs s by an agent of its own and kills that one, by SIGKILL, when
// the script has written to the FIFO up.
func killAgent(t *testing.T, s runner.Script, up *os.File) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(os.Args[0])
	agent.Env = append(os.Environ(), agentVariable+"="+string(text))
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, up)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
}

// openFIFO opens a FIFO so that it is never at its end.
func openFIFO(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if err := file.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return file
}

func awaitLine(t *testing.T, fifo *os.File) string {
	t.Helper()
	buf := make([]byte, 64)
	n, err := fifo.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(buf[:n]))
}

func TestKilledAgentLosesNoOutput(t *testing.T) {
	s := script(t, "echo early; echo up >up; read x <go; echo late && echo late too >&2 && echo written >up")
	goOn, up := openFIFO(t, fifo(t, s, "go")), openFIFO(t, fifo(t, s, "up"))
	killAgent(t, s, up)
	if _, err := goOn.WriteString("on\n"); err != nil {
		t.Fatal(err)
	}
	if got := awaitLine(t, up); got != "written" {
		t.Errorf("the script said %q", got)
	}
	if log := contents(t, s.Log); log != "early\nlate\nlate too\n" {
		t.Errorf("log %q", log)
	}
}

func TestRunOfAKilledAgentIsStoppedBeforeTheNext(t *testing.T) {
	s := script(t, `if mkdir first; then exec 3>held; echo up >up; while :; do read x <go; done; fi; echo second`)
	fifo(t, s, "go")
	gone, up := holders(t, fifo(t, s, "held")), openFIFO(t, fifo(t, s, "up"))
	killAgent(t, s, up)
	got, lines := run(t, s)
	if got.Outcome != runner.Exited || got.ExitCode != 0 || !slices.Equal(got.Tail[len(got.Tail)-1:], []string{"second"}) {
		t.Errorf("%+v", got)
	}
	if len(lines) == 0 || !strings.Contains(lines[0], "earlier run") {
		t.Errorf("lines %q do not tell of it", lines)
	}
	<-gone // or the first run still goes on
}

func TestOnlyTheSameScriptIsTakenForAnEarlierRun(t *testing.T) {
	s := script(t, "echo second")
	tests := map[string]struct {
		args    []string
		log     string
		session bool
		want    syscall.Signal
	}{
		"the same in all":                      {[]string{"/usr/bin/tail", "-fqn0", s.Path}, s.Log, true, syscall.SIGTERM},
		"a daemon with another command line":   {[]string{"/bin/sleep", "60"}, s.Log, true, syscall.SIGKILL},
		"the script with another argument":     {[]string{"/usr/bin/tail", "-fqn0", s.Path, "/dev/null"}, s.Log, true, syscall.SIGKILL},
		"the script writing to another log":    {[]string{"/usr/bin/tail", "-fqn0", s.Path}, s.Log + ".2", true, syscall.SIGKILL},
		"the script in somebody's own session": {[]string{"/usr/bin/tail", "-fqn0", s.Path}, s.Log, false, syscall.SIGKILL},
		"a command line that is only longer":   {[]string{"/usr/bin/tail", "-f", "-q", "-n0", s.Path}, s.Log, true, syscall.SIGKILL},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			log, err := os.OpenFile(test.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = log.Close() }()
			other := exec.Command(test.args[0], test.args[1:]...)
			other.Stdout = log
			other.SysProcAttr = &syscall.SysProcAttr{Setsid: test.session, Setpgid: !test.session}
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			_, lines := run(t, s)
			if told := len(lines) == 2; told != (test.want == syscall.SIGTERM) || lines[len(lines)-1] != "second" {
				t.Errorf("lines %q", lines)
			}
			_ = other.Process.Kill() // too late for one that was stopped
			_ = other.Wait()
			status, ok := other.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || status.Signal() != test.want {
				t.Errorf("it ended with %v", other.ProcessState)
			}
		})
	}
}
