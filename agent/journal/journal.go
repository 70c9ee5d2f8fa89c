// Package journal is the agent's log: one JSON object a line in a file, the
// same as readable lines on a terminal, and no secret in either.
package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
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

// MessageOutput is the message of a line that carries a module's output.
const MessageOutput = "output"

// Journal is an open log. Close it last.
type Journal struct {
	*zap.Logger
	*Redactor
	file *os.File
}

// Open appends to the log file at path, made 0640 if it is not there, with its
// folder (0750); each entry also goes to terminal as a readable line. Entries
// below level go nowhere.
func Open(path string, terminal io.Writer, level zapcore.Level) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	// Opened here and not by zap, which would make it readable for all.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	redactor := &Redactor{}
	c := &core{
		LevelEnabler: level,
		encoder:      encoder{zapcore.NewJSONEncoder(encoding()), redactor},
		file:         zapcore.Lock(file),
		terminal:     zapcore.Lock(zapcore.AddSync(terminal)),
	}
	return &Journal{Logger: zap.New(c), Redactor: redactor, file: file}, nil
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
	return errors.Join(j.file.Sync(), j.file.Close())
}

// core writes each entry once as JSON and once, made from that, as text: what a
// terminal shows is what the file says.
type core struct {
	zapcore.LevelEnabler
	encoder  zapcore.Encoder
	file     zapcore.WriteSyncer
	terminal zapcore.WriteSyncer
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

// Write writes to both places and does not stop at one that fails: a full disk
// must not silence the console.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	_, fileErr := c.file.Write(line.Bytes())
	_, terminalErr := io.WriteString(c.terminal, Text(line.Bytes())+"\n")
	return errors.Join(fileErr, terminalErr)
}

func (c *core) Sync() error { return c.file.Sync() }
