package journal

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// Priorities is true if every line begins with its priority, such as <3>, which
// systemd's journal takes off and files the line under: see sd-daemon(3). The
// journal has a time for each line, so that the lines have none of their own.
type Priorities bool

// PrioritiesOf returns true if w is a file that leads to systemd's journal. Systemd
// names its device and inode in JOURNAL_STREAM; a process that was started with
// another stderr still has the variable, but not the file: see systemd.exec(5).
func PrioritiesOf(w io.Writer) Priorities {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	named := os.Getenv("JOURNAL_STREAM")
	var stat unix.Stat_t
	if named == "" || unix.Fstat(int(f.Fd()), &stat) != nil {
		return false
	}
	return Priorities(named == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino))
}

// Mark returns text with the priority of level before each of its lines, or text
// itself if p is false.
func (p Priorities) Mark(level zapcore.Level, text []byte) []byte {
	if !p {
		return text
	}
	var marked []byte
	for line := range bytes.Lines(text) {
		marked = append(append(marked, priority(level)...), line...)
	}
	return marked
}

// priority returns the priority of level as syslog(3) numbers it.
func priority(level zapcore.Level) string {
	switch {
	case level >= zapcore.ErrorLevel:
		return "<3>"
	case level == zapcore.WarnLevel:
		return "<4>"
	case level == zapcore.InfoLevel:
		return "<6>"
	}
	return "<7>"
}

// alarm marks all that is written to it as errors.
type alarm struct {
	io.Writer
	priorities Priorities
}

func (a alarm) Write(text []byte) (int, error) {
	_, err := a.Writer.Write(a.priorities.Mark(zapcore.ErrorLevel, text))
	return len(text), err
}
