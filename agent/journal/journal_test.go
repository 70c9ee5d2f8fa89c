package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"startup-bundle/agent/journal"
	"startup-bundle/internal/secret"
)

func open(t *testing.T, console string) (j *journal.Journal, path string, terminal *bytes.Buffer) {
	t.Helper()
	path, terminal = filepath.Join(t.TempDir(), "log", "agent.jsonl"), &bytes.Buffer{}
	j, err := journal.Open(journal.Config{Path: path, Terminal: terminal, Level: zapcore.DebugLevel, Console: console})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, path, terminal
}

func TestRedactionLeavesJSONAndNoSecret(t *testing.T) {
	for name, s := range map[string]string{
		"plain":                 "stirringdullroots",
		"quotes and backslash":  `a"b\c d`,
		"lines":                 "first line\nsecond line",
		"part of a number":      "12345",
		"letters of an escape":  "nsecret",
		"what JSON is made of":  `":"` + "true",
		"the name of a field":   "phase",
		"not in a query as is":  "a b&c=d/e",
		"another writing":       "grüße\u2028an alle",
		"looks like an address": "user:pass@host",
	} {
		t.Run(name, func(t *testing.T) {
			j, path, terminal := open(t, "")
			j.Add(secret.New(s))
			j.With(zap.String("with", "with "+s)).Info("output", zap.String("line", "\n"+s+"\t"+s), zap.Int("n", 9876),
				zap.Error(fmt.Errorf("wrapped: %q: %w", s, errors.New(s))), zap.Any("any", map[string]string{"k": s}), zap.Strings("list", []string{s}))
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(text) || bytes.Count(text, []byte("\n")) != 1 {
				t.Errorf("no line of JSON: %s", text)
			}
			if bytes.Contains(text, []byte(s)) || strings.Contains(terminal.String(), s) {
				t.Errorf("shows the secret: %s\n%s", text, terminal)
			}
			if !bytes.Contains(text, []byte(secret.Redacted)) {
				t.Errorf("shows nothing in its place: %s", text)
			}
		})
	}
}

func TestScrubberKnowsSecretsByTheirForm(t *testing.T) {
	for hidden, text := range map[string]string{
		"1QQQSECRET":                      "key: AGE-SECRET-KEY-1QQQSECRET",
		"PQ-1QQQ":                         "key: AGE-SECRET-KEY-PQ-1QQQ",
		"AKIAEXAMPLE012345678":            "id AKIAEXAMPLE012345678.",
		"ASIAEXAMPLE012345678":            `{"a":"ASIAEXAMPLE012345678"}`,
		"0f0f0f":                          `https://b/x?a=b&X-Amz-Signature=0f0f0f&c=d`,
		"token%2Fvalue":                   `https://b/x?X-Amz-Security-Token=token%2Fvalue`,
		"oldsig%3D":                       `https://b/x?AWSAccessKeyId=x&Signature=oldsig%3D`,
		"p4ssword":                        "fetch https://user:p4ssword@host/x",
		"wJalrXUtnFEMIexampleexample":     "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIexampleexample",
		"wJalrXUtnFEMIexampleexample2":    `aws_secret_access_key = wJalrXUtnFEMIexampleexample2`,
		"FwoGZXIvYXdzEBYaDEexample":       "AWS_SESSION_TOKEN=FwoGZXIvYXdzEBYaDEexample",
		"AQAEANexampleexampleexample==":   "X-aws-ec2-metadata-token: AQAEANexampleexampleexample==",
		"MIIEpAIBAAKCAQEAexample\nsecond": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEAexample\nsecond\n-----END RSA PRIVATE KEY-----",
	} {
		got := string(journal.NewScrubber().Bytes([]byte(text)))
		if strings.Contains(got, hidden) || !strings.Contains(got, secret.Redacted) {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	const plain = "see https://host:443/path?x=1, signature=none of a token"
	if got := string(journal.NewScrubber().Bytes([]byte(plain))); got != plain {
		t.Errorf("%q becomes %q", plain, got)
	}
}

func TestLogIsBoundedAndReadAcrossItsFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	j, path, _ := open(t, "")
	const lines = 2 * journal.MaxFile / 1000
	long := strings.Repeat("x", 1000)
	j.Info(journal.MessageStarted)
	for i := range lines {
		if i == lines*3/4 {
			j.Info(journal.MessageStarted, zap.String(journal.KeyBootID, "here"))
		}
		j.Info(journal.MessageOutput, zap.Int("n", i), zap.String(journal.KeyLine, long))
	}
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > journal.MaxFile || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if _, err := os.Stat(path + ".2"); err == nil {
		t.Error("more than one older file")
	}
	r, err := journal.OpenReader(path, journal.LastRun)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var split journal.Lines
	next := -1
	if err := split.Each(r, true, func(line []byte) error {
		e, ok := journal.ParseEvent(line)
		switch {
		case !ok:
			return fmt.Errorf("no line: %.100s", line)
		case next < 0 && e.Text(journal.KeyBootID) != "here":
			return fmt.Errorf("begins with %.100s", line)
		case next < 0:
			next = lines * 3 / 4
		case int(e.Number("n")) != next:
			return fmt.Errorf("%v, not %d", e.Number("n"), next)
		default:
			next++
		}
		return nil
	}); err != nil || next != lines {
		t.Errorf("read to %d of %d: %v", next, lines, err)
	}
}

func TestBoundKeepsTheEndAndTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.log")
	if size, err := journal.Bound(path, 10); size != 0 || err != nil {
		t.Errorf("no log: %d, %v", size, err)
	}
	daemon, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	fmt.Fprint(daemon, "0123456789")
	if size, err := journal.Bound(path, 10); size != 10 || err != nil {
		t.Errorf("short log: %d, %v", size, err)
	}
	fmt.Fprint(daemon, "abc")
	if size, err := journal.Bound(path, 10); size != 0 || err != nil {
		t.Errorf("long log: %d, %v", size, err)
	}
	fmt.Fprint(daemon, "after")
	for name, want := range map[string]string{path: "after", path + ".1": "3456789abc"} {
		if text, err := os.ReadFile(name); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if err := os.Symlink("/etc/passwd", path+".link"); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Bound(path+".link", 1); err == nil {
		t.Error("a link is followed")
	}
}

func TestReaderFollowsARotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	add := func(text string) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprint(f, text)
	}
	if _, err := journal.OpenReader(path, journal.All); !errors.Is(err, journal.ErrNoLog) {
		t.Errorf("no log: %v", err)
	}
	add("one\ntw")
	r, err := journal.OpenReader(path, journal.All)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	var split journal.Lines
	read := func(last bool) {
		if err := split.Each(r, last, func(line []byte) error { got = append(got, string(line)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	read(false)
	add("o\nthree\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add("four\n")
	read(false)
	add("five")
	read(false)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	add("x\n")
	read(true)
	if diff := cmp.Diff([]string{"one", "two", "three", "four", "fivex"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path+".1", []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("c\n"+strings.Repeat("d", 300<<10)+"\n\nf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{0: "", 1: "f", 2: "|f", 3: "dd|f", 4: "cdd|f", 5: "bcdd|f", 6: "abcdd|f", 7: "abcdd|f"} {
		r, err := journal.OpenReader(path, journal.All)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Last(n); err != nil {
			t.Fatal(err)
		}
		var split journal.Lines
		got := ""
		_ = split.Each(r, true, func(line []byte) error {
			if len(line) == 0 {
				line = []byte("|")
			}
			got += string(line[:min(len(line), 2)])
			return nil
		})
		r.Close()
		if got != want {
			t.Errorf("last %d: %q, want %q", n, got, want)
		}
	}
}

func TestConsoleIsNeverWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "console")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	j, _, _ := open(t, pipe)
	j.Info(journal.MessageStarted) // nobody reads
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5000 { // somebody has it open and never reads: it is full soon
			j.Error(journal.MessageFailed, zap.Error(errors.New(strings.Repeat("long ", 100))), zap.Int("exit_code", 15))
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the log waits for the console")
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{
		`{"level":"info","time":"2026-11-22T21:38:37.000Z","msg":"output","phase":"modules","module":"web","line":"hi"}`,
		`{"level":"error","time":"x","msg":"a\u001b[31mb","error":"c\nd","bytes":1e3,"duration":null,"list":[1,{"a":"b"}]}`,
		`{"a":"\ud83d\ude00","b":"\u202e"}`, `{}`, `[`, "", "plain \x1b text", `{"a":"b"} x`, `{"a":"b",}`,
		"{\"time\":\"2026-11-22T21:38:37.000Z\",\"line\":\"not \xa4 UTF-8\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		text := journal.Text(line)
		for _, r := range text {
			if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e' {
				t.Errorf("%q shows %q", line, text)
			}
		}
		var want map[string]any
		if json.Unmarshal(line, &want) != nil || want == nil {
			return
		}
		if _, ok := want["time"].(string); !ok {
			return
		}
		e, ok := journal.ParseEvent(line)
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(want["time"])); err == nil && !ok && bytes.Count(line, []byte(`time`)) == 1 {
			t.Errorf("%q is not read", line)
		}
		for key, value := range want {
			if s, isText := value.(string); ok && isText && bytes.Count(line, []byte(key)) == 1 && key != "time" && key != "msg" && key != "phase" && key != "module" && e.Text(key) != s {
				t.Errorf("%q: %s is %q, not %q", line, key, e.Text(key), s)
			}
		}
	})
}
