package runner_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/runner"
)

// script returns a Script for a shell script that has body.
func script(t *testing.T, body string) runner.Script {
	t.Helper()
	return file(t, "#!/bin/sh\n"+body+"\n", 0o755)
}

func file(t *testing.T, content string, mode os.FileMode) runner.Script {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "start"), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return runner.Script{
		Path:    filepath.Join(dir, "start"),
		Dir:     dir,
		Env:     []string{"PATH=/usr/bin:/bin"},
		Log:     filepath.Join(t.TempDir(), "module.log"),
		Timeout: time.Minute,
	}
}

// run runs s and returns its result and the lines that were passed on.
func run(t *testing.T, s runner.Script) (runner.Result, []string) {
	t.Helper()
	var lines []string
	res, err := runner.Runner{Line: func(line string) { lines = append(lines, line) }}.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return res, lines
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRunReportsHowAScriptEnds(t *testing.T) {
	tests := []struct {
		name, body string
		want       runner.Result
		reason     string // a part of it
		log        string
	}{
		{"success", "echo out; echo err >&2", runner.Result{Outcome: runner.Exited, Tail: []string{"out", "err"}, OutputBytes: 8}, "", "out\nerr\n"},
		{"no output at all", ":", runner.Result{Outcome: runner.Exited}, "", ""},
		{"no newline at the end", "printf half", runner.Result{Outcome: runner.Exited, Tail: []string{"half"}, OutputBytes: 4}, "", "half"},
		{"a failure", "exit 3", runner.Result{Outcome: runner.Exited, ExitCode: 3}, "status 3", ""},
		{"try again later", "exit 75", runner.Result{Outcome: runner.Exited, ExitCode: 75}, "status 75", ""},
		{"skipped", "exit 77", runner.Result{Outcome: runner.Exited, ExitCode: 77}, "status 77", ""},
		{"reboot", "exit 194", runner.Result{Outcome: runner.Exited, ExitCode: 194}, "status 194", ""},
		{"a command not found within it", "exit 127", runner.Result{Outcome: runner.Exited, ExitCode: 127}, "status 127", ""},
		{"its own signal", "kill -s SEGV $$", runner.Result{Outcome: runner.Signaled, ExitCode: -1, Signal: "SIGSEGV"}, "SIGSEGV", ""},
		{"the kernel's SIGKILL", "kill -s KILL $$", runner.Result{Outcome: runner.Signaled, ExitCode: -1, Signal: "SIGKILL"}, "memory", ""},
		{"stdin is at its end", "if read x; then echo got; else echo eof; fi", runner.Result{Outcome: runner.Exited, Tail: []string{"eof"}, OutputBytes: 4}, "", "eof\n"},
		{"no terminal to stop for", "(: </dev/tty) 2>/dev/null || echo none", runner.Result{Outcome: runner.Exited, Tail: []string{"none"}, OutputBytes: 5}, "", "none\n"},
		{"no more descriptors of the log than stdout and stderr", "test $(ls -l /proc/self/fd | grep -c module.log) = 1 # stdout is the pipe", runner.Result{Outcome: runner.Exited}, "", ""},
		{"a group and a session of its own", "read -r _ _ _ _ g s _ </proc/self/stat; test $g = $$ && test $s = $$", runner.Result{Outcome: runner.Exited}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := script(t, test.body)
			got, lines := run(t, s)
			if !strings.Contains(got.Reason, test.reason) || (test.reason == "") != (got.Reason == "") {
				t.Errorf("reason %q, want one with %q", got.Reason, test.reason)
			}
			if got.Duration <= 0 {
				t.Error("no duration")
			}
			got.Duration, got.Reason = 0, ""
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.want.Tail, lines); diff != "" {
				t.Error(diff)
			}
			if log := contents(t, s.Log); log != test.log {
				t.Errorf("log %q, want %q", log, test.log)
			}
		})
	}
}

func TestRunGivesExactlyTheEnvironmentFolderAndArguments(t *testing.T) {
	t.Setenv("AGENT_SECRET", "of the agent")
	for _, env := range [][]string{nil, {}, {"PATH=/usr/bin:/bin", "OPT_MAX_MEMORY=1 G", "EMPTY="}} {
		s := script(t, "")
		s.Path, s.Args, s.Env = "/usr/bin/env", nil, env
		_, lines := run(t, s)
		if diff := cmp.Diff(env, lines); len(env)+len(lines) > 0 && diff != "" {
			t.Error(diff)
		}
	}
	s := script(t, `pwd; printf '%s\n' "$0" "$@"`)
	s.Path, s.Args = "./start", []string{"one two", "*"}
	_, lines := run(t, s)
	if diff := cmp.Diff([]string{s.Dir, "./start", "one two", "*"}, lines); diff != "" {
		t.Error(diff)
	}
	s.Path, s.Args = "/bin/sh", []string{"start", "x"} // start.sh without its exec bit
	if err := os.Chmod(filepath.Join(s.Dir, "start"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, lines = run(t, s)
	if diff := cmp.Diff([]string{s.Dir, "start", "x"}, lines); diff != "" {
		t.Error(diff)
	}
}

func TestRunAppendsAndReportsOnlyItsOwnOutput(t *testing.T) {
	s := script(t, "echo again")
	if err := os.WriteFile(s.Log, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, lines := run(t, s)
	if want := []string{"again"}; !slices.Equal(got.Tail, want) || !slices.Equal(lines, want) || got.OutputBytes != 6 {
		t.Errorf("tail %q, lines %q, %d bytes", got.Tail, lines, got.OutputBytes)
	}
	if log := contents(t, s.Log); log != "beforeagain\n" {
		t.Errorf("log %q", log)
	}
}

func TestRunMakesTheLogPrivate(t *testing.T) {
	s := script(t, "")
	run(t, s)
	info, err := os.Stat(s.Log)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestRunTellsWhyAScriptCannotStart(t *testing.T) {
	tests := []struct {
		name, content string
		mode          os.FileMode
		change        func(*runner.Script)
		want          runner.Outcome
		reason        string
	}{
		{"missing", "", 0o755, func(s *runner.Script) { s.Path += ".no" }, runner.Missing, "add it"},
		{"a link to nothing", "", 0o755, func(s *runner.Script) {
			s.Path += ".link"
			_ = os.Symlink("nowhere", s.Path)
		}, runner.Missing, "link to nothing"},
		{"a folder", "", 0o755, func(s *runner.Script) { s.Path = s.Dir }, runner.NotExecutable, "no regular file"},
		{"no execute bit", "#!/bin/sh\n", 0o644, nil, runner.NotExecutable, "chmod 0755"},
		{"empty", "", 0o755, nil, runner.NotExecutable, "is empty"},
		{"no shebang", "echo hello\n", 0o755, nil, runner.NotExecutable, "begin it with #!/bin/sh"},
		{"a shebang without a name", "#! \necho\n", 0o755, nil, runner.NotExecutable, "names no interpreter"},
		{"a byte order mark", "\xef\xbb\xbf#!/bin/sh\n", 0o755, nil, runner.NotExecutable, "byte order mark"},
		{"a binary for another machine", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 60), 0o755, nil, runner.NotExecutable, "another processor"},
		{"no such interpreter", "#!/opt/no/python3 -u\n", 0o755, nil, runner.NoInterpreter, `"/opt/no/python3"`},
		{"an interpreter in a file", "#!/etc/passwd/sh\n", 0o755, nil, runner.NoInterpreter, `"/etc/passwd/sh"`},
		{"an interpreter that may not run", "#!/etc/passwd\n", 0o755, nil, runner.NoInterpreter, "may not run"},
		{"Windows line ends", "#!/bin/bash\r\necho\r\n", 0o755, nil, runner.NoInterpreter, "CRLF"},
		{"env without the interpreter", "#!/usr/bin/env no-such-python3\n", 0o755, nil, runner.NoInterpreter, `"no-such-python3"`},
		{"env -S without the interpreter", "#!/usr/bin/env -S A=b no-such-python3 -u\n", 0o755, nil, runner.NoInterpreter, `"no-such-python3"`},
		{"env with Windows line ends", "#!/usr/bin/env sh\r\necho\r\n", 0o755, nil, runner.NoInterpreter, "CRLF"},
		{"env without a PATH to the interpreter", "#!/usr/bin/env sh\n", 0o755, func(s *runner.Script) { s.Env = []string{"PATH=/nowhere"} }, runner.NoInterpreter, "not on its PATH"},
		{"no such folder", "#!/bin/sh\n", 0o755, func(s *runner.Script) { s.Dir = "/no/such/folder" }, runner.NotStarted, "/no/such/folder"},
		{"a NUL in the environment", "#!/bin/sh\n", 0o755, func(s *runner.Script) { s.Env = []string{"KEY=secret\x00x"} }, runner.NotStarted, "NUL"},
		{"too long an environment", "#!/bin/sh\n", 0o755, func(s *runner.Script) { s.Env = []string{"X=" + strings.Repeat("x", 4<<20)} }, runner.NotStarted, "longer than the kernel takes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := file(t, test.content, test.mode)
			if test.change != nil {
				test.change(&s)
			}
			got, _ := run(t, s)
			if got.Outcome != test.want || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("%s: %s; want %s with %q", got.Outcome, got.Reason, test.want, test.reason)
			}
			if strings.Contains(got.Reason, "secret") {
				t.Errorf("the reason quotes the environment: %s", got.Reason)
			}
			if got.ExitCode == 0 || got.Leftovers {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestRunRefusesAScriptThatMakesNoSense(t *testing.T) {
	good := script(t, "echo ran")
	tests := map[string]func(*runner.Script){
		"no path":              func(s *runner.Script) { s.Path = "" },
		"a relative folder":    func(s *runner.Script) { s.Dir = "modules" },
		"no timeout":           func(s *runner.Script) { s.Timeout = 0 },
		"a negative grace":     func(s *runner.Script) { s.Grace = -1 },
		"no folder of the log": func(s *runner.Script) { s.Log = filepath.Join(s.Dir, "no", "log") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := good
			change(&s)
			if _, err := (runner.Runner{}).Run(t.Context(), s); err == nil {
				t.Error("accepted")
			}
			if _, err := os.Stat(good.Log); err == nil {
				t.Error("there is a log: the script may have run")
			}
		})
	}
}

func TestRunReportsWhatIsLeftWhenTheScriptEmptiesItsLog(t *testing.T) {
	s := script(t, `: >"$1"; echo new`)
	s.Args = []string{s.Log}
	if err := os.WriteFile(s.Log, []byte("old old old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, lines := run(t, s)
	if want := []string{"new"}; !slices.Equal(got.Tail, want) || !slices.Equal(lines, want) || got.OutputBytes != 4 {
		t.Errorf("tail %q, lines %q, %d bytes", got.Tail, lines, got.OutputBytes)
	}
}
