// Package cmd_test runs both programs as their users do: each file of testdata
// is a shell-like script with its own files, as testscript defines it.
package cmd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	agent "startup-bundle/cmd/startup-agent/cli"
	packer "startup-bundle/cmd/startup-packer/cli"
	"startup-bundle/internal/imdstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"startup-agent":  func() { os.Exit(agent.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) },
		"startup-packer": func() { os.Exit(packer.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Condition: func(name string) (bool, error) {
			if name == "sandbox" {
				return sandboxed(), nil
			}
			return false, fmt.Errorf("there is no condition %q", name)
		},
		Setup: func(e *testscript.Env) error {
			notice, err := os.ReadFile("../scripts/package/profile.d/startup-agent.sh")
			if err == nil {
				err = os.WriteFile(filepath.Join(e.WorkDir, "notice.sh"), notice, 0o600)
			}
			if err != nil {
				return err
			}
			scripts, err := filepath.Abs("../scripts")
			if err != nil {
				return err
			}
			e.Setenv("SCRIPTS", scripts)
			e.Setenv("GORACE", "atexit_sleep_ms=0")                  // else every program that ends waits for a second
			e.Setenv("BIN", filepath.SplitList(e.Getenv("PATH"))[0]) // where testscript puts the programs
			// Whatever a script forgets, no program may ask a real metadata service.
			e.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"serve":    serve,
			"metadata": metadata,
			"flip":     flip,
			"cut":      cut,
			"nowhere":  nowhere,
			"subst":    subst,
			"setsha":   setsha,
			"absent":   absent,
			"cloud":    cloud,
			"receive":  receive,
			"screen":   screen,
			"await":    await,

			"ociregistry": ociregistry,

			"cmpconsole": cmpconsole,
		},
	})
}

// exits CODE PROGRAM ARGS…: the program ends with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG]...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		text := err.Error()
		code = text[strings.LastIndex(text, " ")+1:]
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// serve DIR: a static file server on loopback, its address in $URL.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	s := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
}

// metadata FILE [ID [FAULT=N…]]: instance metadata with the file as userdata;
// "none" for no userdata. It replaces an earlier one. Each fault answers the
// next N requests: reset, half, or a status.
func metadata(ts *testscript.TestScript, _ bool, args []string) {
	i := imdstest.Sample()
	if args[0] != "none" {
		i.Userdata = []byte(ts.ReadFile(args[0]))
	}
	if len(args) > 1 {
		i.ID = args[1]
	}
	var faults []imdstest.Fault
	for _, arg := range args[min(2, len(args)):] {
		kind, count, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(count)
		ts.Check(err)
		f := imdstest.Fault{Requests: n, Do: imdstest.Reset}
		switch kind {
		case "reset":
		case "half":
			f.Do = imdstest.Half
		default:
			status, err := strconv.Atoi(kind)
			ts.Check(err)
			f.Do = imdstest.Status(status)
		}
		faults = append(faults, f)
	}
	s, err := imdstest.NewServer(i, faults...)
	ts.Check(err)
	ts.Defer(s.Close)
	ts.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL)
}

// flip FILE OFFSET: change one byte; a negative offset counts from the end.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(text)
	}
	text[at] ^= 1
	ts.Check(os.WriteFile(path, text, 0o600))
}

// cut FILE N: keep all but the last N bytes.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()-n))
}

// nowhere TEXT DIR: no file below DIR holds the text, nor do the last
// command's outputs.
func nowhere(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(args[0])
	for _, name := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(name), args[0]) {
			ts.Fatalf("%s shows %s", name, args[0])
		}
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, text) {
			ts.Fatalf("%s shows %s", path, args[0])
		}
		return err
	}))
}

// subst FILE: replace $NAME in a file by the environment's.
func subst(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// setsha NAME FILE: the file's sha256 in $NAME.
func setsha(ts *testscript.TestScript, _ bool, args []string) {
	sum := sha256.Sum256([]byte(ts.ReadFile(args[1])))
	ts.Setenv(args[0], hex.EncodeToString(sum[:]))
}

// absent PATH…: nothing is there.
func absent(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		if _, err := os.Lstat(ts.MkAbs(name)); err == nil {
			ts.Fatalf("%s is there", name)
		}
	}
}

// screen FILE: the last command's output, with what differs from run to run
// replaced, in FILE. No line is wider than a terminal, but for a command that is
// to be copied and what a module printed.
func screen(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile("stdout")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > 80 && !strings.HasPrefix(line, "      startup-agent ") && !strings.HasPrefix(line, "      mv ") && !strings.HasPrefix(line, "  | ") {
			ts.Fatalf("wider than 80 columns: %s", line)
		}
	}
	text = strings.ReplaceAll(unbroken(text, ts.Getenv("WORK")), ts.Getenv("WORK"), "$WORK")
	for _, r := range []struct{ form, name string }{
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`, "TIME"},
		{`\b\d\d:\d\d:\d\d(\.\d+)?\b`, "TIME"},
		{`\b\d+(\.\d+)?(ms|s)\b`, "T"},
		{`\b[0-9a-f]{12}…`, "SHA"},
		{`127\.0\.0\.1:\d+`, "HOST"},
		{`(?s)(\nlog {7}TIME WARN [a-z]+: [a-z ]+).*?\n\n`, "$1…\n\n"}, // which of the tries it is
		{`([^ \n]) {2,}`, "$1  "},
	} {
		text = regexp.MustCompile(r.form).ReplaceAllString(text, r.name)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// unbroken writes $WORK for the folder, and its paragraph as one line: where that
// breaks depends on how long the folder's name is.
func unbroken(text, work string) string {
	const broken = `(?:\n {10})?`
	path := strings.Builder{}
	for _, c := range work {
		path.WriteString(regexp.QuoteMeta(string(c)) + broken)
	}
	names := regexp.MustCompile(path.String() + `((?:[^:\s]|\n {10})*):`)
	return regexp.MustCompile(`(?m)^error {5}.*(?:\n {10}.*)*$`).ReplaceAllStringFunc(text, func(fact string) string {
		if !names.MatchString(fact) {
			return fact
		}
		fact = names.ReplaceAllStringFunc(fact, func(path string) string {
			return "$WORK" + strings.ReplaceAll(names.FindStringSubmatch(path)[1], "\n          ", "") + ":"
		})
		return strings.ReplaceAll(fact, "\n          ", " ")
	})
}

// await FILE TEXT: wait until the file is there and has the text, at most a minute.
// The kernel tells of each change to the file and to the folders on the way to it.
func await(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	way := []string{path}
	for p := path; p != ts.MkAbs(".") && p != "/"; {
		p = filepath.Dir(p)
		way = slices.Insert(way, 0, p)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	ts.Check(err)
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	ts.Check(events.SetReadDeadline(time.Now().Add(time.Minute)))
	for buffer := make([]byte, 4096); ; {
		for _, p := range way { // from the top: what comes after its turn is an event above it
			_, _ = unix.InotifyAddWatch(fd, p, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_MOVED_TO)
		}
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), args[1]) {
			return
		}
		if _, err := events.Read(buffer); err != nil {
			ts.Fatalf("%s does not come to have %s: %v", args[0], args[1], err)
		}
	}
}

// cmpconsole FILE WANT: what the console was told, but for times, the version, and
// where its lines break.
// Its lines are short, and end as a serial line wants it.
func cmpconsole(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\r\n") || len(line) > 81 {
			ts.Fatalf("%s has the line %q", args[0], line)
		}
	}
	text = regexp.MustCompile(`version \S+`).ReplaceAllString(strings.NewReplacer("\r", "", "\n  ", " ").Replace(text), "version V")
	text = regexp.MustCompile(`\b\d+(\.\d+)?(ms|s)\b`).ReplaceAllString(text, "T")
	if want := ts.ReadFile(args[1]); text != want {
		ts.Fatalf("%s has\n%swant\n%s", args[0], text, want)
	}
}
