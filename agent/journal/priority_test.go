package journal_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"startup-bundle/agent/journal"
)

func TestPrioritiesOnlyForTheFileThatSystemdNames(t *testing.T) {
	_, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(w.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	mine := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	for _, named := range []string{
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino),
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1),
		fmt.Sprintf("%d:%d", stat.Dev+1, stat.Ino),
		fmt.Sprintf("%d:%d0", stat.Dev, stat.Ino),
		fmt.Sprintf("%d", stat.Ino),
		"",
		":",
		fmt.Sprintf("%d:%d:1", stat.Dev, stat.Ino),
		fmt.Sprintf("0x%x:%d", stat.Dev, stat.Ino),
		fmt.Sprintf("%d:%d\n", stat.Dev, stat.Ino),
		fmt.Sprintf("-%d:%d", stat.Dev, stat.Ino),
		fmt.Sprintf(" %d:%d ", stat.Dev, stat.Ino),
		fmt.Sprintf("%d:%d", stat.Ino, stat.Dev+17),
	} {
		want := journal.Priorities(named == mine)
		t.Setenv("JOURNAL_STREAM", named)
		if got := journal.PrioritiesOf(w); got != want {
			t.Errorf("%q: %v, want %v", named, got, want)
		}
		if journal.PrioritiesOf(io.Discard) {
			t.Errorf("%q: true for a writer that is not a file", named)
		}
	}
}

// What journald gets has a priority and no time; the file beside it is as ever.
func TestEachLevelHasItsPriority(t *testing.T) {
	var stderr bytes.Buffer
	path := filepath.Join(t.TempDir(), "log")
	j, err := journal.Open(journal.Config{Path: path, Terminal: &stderr, Level: zapcore.DebugLevel, Priorities: true})
	if err != nil {
		t.Fatal(err)
	}
	log := j.With(zap.String(journal.KeyPhase, "bundle"))
	log.Debug("tried again")
	log.Info("fetched")
	log.Warn("slow", zap.String("url", "a\nb"))
	log.Error("lost", zap.Error(fmt.Errorf("one\n<6>two\r\n<7>three")))
	j.Info(journal.MessageOutput, zap.String(journal.KeyPhase, "modules"), zap.String(journal.KeyModule, "web"), zap.String(journal.KeyLine, "plain"))
	j.Info(journal.MessageOutput, zap.String(journal.KeyPhase, "modules"), zap.String(journal.KeyModule, "web"), zap.String(journal.KeyLine, "<3>ä"))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	want := `<7>bundle: tried again
<6>bundle: fetched
<4>WARN bundle: slow url=a; b
<3>ERROR bundle: lost: one; <6>two; <7>three
<6>web: | plain
<6>web: | <3>ä
`
	if diff := cmp.Diff(want, stderr.String()); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !regexp.MustCompile(`^\{"level":"[a-z]+","time":"[^"]+Z",.*\}\n$`).MatchString(line) {
			t.Errorf("in the file: %q", line)
		}
	}
}

func TestMarkIsBeforeEveryLine(t *testing.T) {
	for text, want := range map[string]string{
		"":              "",
		"one":           "<3>one",
		"one\n":         "<3>one\n",
		"one\ntwo\n":    "<3>one\n<3>two\n",
		"one\n\n<6>two": "<3>one\n<3>\n<3><6>two",
	} {
		if got := string(journal.Priorities(true).Mark(zapcore.ErrorLevel, []byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := string(journal.Priorities(false).Mark(zapcore.ErrorLevel, []byte(text))); got != text {
			t.Errorf("%q, unmarked: %q", text, got)
		}
	}
}

// A file that cannot be written is told of by the logger itself.
func TestTroubleOfTheLogItselfIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	j, err := journal.Open(journal.Config{Path: filepath.Join(t.TempDir(), "log"), Terminal: failing{&stderr}, Priorities: true})
	if err != nil {
		t.Fatal(err)
	}
	j.Info("said")
	_ = j.Close()
	if got := stderr.String(); !regexp.MustCompile(`^<3>[^\n]*write error: no\n$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

// failing loses what is logged.
type failing struct{ w io.Writer }

func (f failing) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte("said")) {
		return 0, fmt.Errorf("no")
	}
	return f.w.Write(text)
}
