// Package journal is the agent's log: one JSON object a line in a file, the
// same as readable lines on a terminal, and no secret in either.
package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The keys of a line that every line may have. Data fields stand beside them.
const (
	KeyTime    = "time" // RFC 3339 with milliseconds, UTC
	KeyLevel   = "level"
	KeyMessage = "msg"
	KeyPhase   = "phase"
	KeyModule  = "module"
	KeyLine    = "line" // a line of a module's output
)

// The messages that others of this program look for in a log. The rest may be
// reworded at will.
const (
	MessageOutput        = "output"                                        // a line of a module's output, in KeyLine
	MessageStarted       = "agent started"                                 // the first of a run, with KeyBootID
	MessagePhaseStarted  = "phase started"                                 //
	MessagePhaseEnded    = "phase ended"                                   //
	MessageModuleStarted = "module started"                                // with KeyOffset
	MessageModuleEnded   = "module ended"                                  //
	MessageSilent        = "module still running, silent"                  //
	MessageIdle          = "nothing to do"                                 //
	MessageEnded         = "agent ended"                                   // the last of a run with nothing to do
	MessageSucceeded     = "run succeeded"                                 // the last of a run, as the next two
	MessageFailed        = "run failed"                                    //
	MessageInterrupted   = "run interrupted: it goes on at the next start" //
	MessageRebooting     = "run goes on after the reboot"                  // likewise
	MessageRefused       = "run refused"                                   // likewise; nothing was recorded
	MessageNoLog         = "the run goes on without its log"               //
)

// The keys of data that others of this program read back.
const (
	KeyBootID = "boot_id"    // the kernel's name for this boot
	KeyUptime = "uptime"     // seconds since the kernel's start, of every line but output: see Uptime
	KeyOffset = "log_offset" // bytes in the module's own log before this start
)

// Config says where a journal goes.
type Config struct {
	Path     string        // the log file
	Terminal io.Writer     // gets each entry as a readable line
	Level    zapcore.Level // entries below it go nowhere
	Console  string        // a device that gets a few short lines, see [console]; empty: none

	Priorities Priorities // of what the terminal gets
}

// Journal is an open log. Close it last.
type Journal struct {
	*zap.Logger
	*Redactor
	file *file
}

// Open appends to the log file, made 0640 if it is not there, with its folder
// (0750). The file is bounded: see MaxFile. With an error the journal can be used all
// the same: it tells the terminal and the console, and no file.
func Open(c Config) (*Journal, error) {
	err := os.MkdirAll(filepath.Dir(c.Path), 0o750)
	file := &file{path: c.Path, limit: MaxFile}
	if err == nil {
		err = file.open()
	}
	if err != nil {
		err = fmt.Errorf("open log: %w", err)
	}
	redactor := NewRedactor()
	terminal := zapcore.Lock(zapcore.AddSync(c.Terminal))
	return &Journal{Logger: zap.New(&core{
		LevelEnabler: c.Level,
		encoder:      encoder{zapcore.NewJSONEncoder(encoding()), redactor},
		file:         zapcore.Lock(file),
		terminal:     terminal,
		priorities:   c.Priorities,
		console:      console{c.Console},
	}, zap.ErrorOutput(zapcore.AddSync(alarm{terminal, c.Priorities}))), Redactor: redactor, file: file}, err
}

func encoding() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey: KeyTime, LevelKey: KeyLevel, MessageKey: KeyMessage,
		EncodeTime: func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
			e.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
		},
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
}

// Close writes the log out and closes it.
func (j *Journal) Close() error {
	if j.file.File == nil {
		return nil
	}
	return errors.Join(j.file.Sync(), j.file.Close())
}

// core writes each entry once as JSON and once, made from that, as text: what a
// terminal shows is what the file says.
type core struct {
	zapcore.LevelEnabler
	encoder  zapcore.Encoder
	file     zapcore.WriteSyncer
	terminal zapcore.WriteSyncer
	console  console

	priorities Priorities
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	clone := *c
	clone.encoder = c.encoder.Clone()
	for _, f := range fields {
		f.AddTo(clone.encoder)
	}
	return &clone
}

func (c *core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write writes to each place and does not stop at one that fails: a full disk
// must not silence the console.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message != MessageOutput { // of which a flood is made
		fields = append(slices.Clip(fields), zap.Float64(KeyUptime, UptimeSeconds()))
	}
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	_, fileErr := c.file.Write(line.Bytes())
	printer := Printer{Timeless: bool(c.priorities)}
	_, terminalErr := c.terminal.Write(c.priorities.Mark(e.Level, append(printer.Append(nil, line.Bytes()), '\n')))
	c.console.tell(line.Bytes())
	return errors.Join(fileErr, terminalErr)
}

func (c *core) Sync() error { return c.file.Sync() }
