package journal

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"startup-bundle/internal/secret"
)

// minSecret is the shortest text that is replaced, in bytes. To replace shorter
// ones would make a log unreadable and still give them away.
const minSecret = 4

// Redactor replaces secrets in finished log lines: those it was told, and what
// has the form of one. It is safe for concurrent use.
type Redactor struct {
	mu    sync.RWMutex
	known [][]byte // longest first, so that a secret inside another leaves no rest
	forms Scrubber
}

// NewRedactor returns a redactor that knows no secret yet.
func NewRedactor() *Redactor { return &Redactor{forms: NewScrubber()} }

// Add makes the redactor replace the secrets from now on: as they are, each of
// their lines alone, and all that as JSON, %q and a query escape it.
func (r *Redactor) Add(secrets ...secret.String) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		texts := []string{s.Reveal()}
		for line := range strings.Lines(s.Reveal()) {
			texts = append(texts, strings.TrimRight(line, "\r\n"))
		}
		for _, text := range texts {
			quoted := strconv.Quote(text)
			quoted = quoted[1 : len(quoted)-1]
			for _, form := range []string{text, escaped(text), quoted, escaped(quoted), url.QueryEscape(text), url.PathEscape(text)} {
				r.add(form)
			}
		}
	}
	slices.SortStableFunc(r.known, func(a, b []byte) int { return len(b) - len(a) })
}

func (r *Redactor) add(form string) {
	if len(form) >= minSecret && !slices.ContainsFunc(r.known, func(k []byte) bool { return string(k) == form }) {
		r.known = append(r.known, []byte(form))
	}
}

// escaped returns text as it stands between the quotes of a JSON string.
func escaped(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return text
	}
	quoted := strings.TrimSpace(b.String())
	return quoted[1 : len(quoted)-1]
}

// Bytes returns line with every known secret replaced; line itself where there
// is none in it.
func (r *Redactor) Bytes(line []byte) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.known {
		if bytes.Contains(line, k) {
			line = bytes.ReplaceAll(line, k, []byte(secret.Redacted))
		}
	}
	return r.forms.Bytes(line)
}

// String is Bytes for text.
func (r *Redactor) String(text string) string { return string(r.Bytes([]byte(text))) }

// encoder redacts what another encoder has finished: message, fields and errors
// alike, whatever type they came from.
type encoder struct {
	zapcore.Encoder
	redactor *Redactor
}

func (e encoder) Clone() zapcore.Encoder { return encoder{e.Encoder.Clone(), e.redactor} }

func (e encoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	clean := e.redactor.Bytes(line.Bytes())
	if bytes.Equal(clean, line.Bytes()) {
		return line, nil
	}
	if !json.Valid(clean) {
		clean = e.rebuilt(line.Bytes())
	}
	text := bytes.Clone(clean)
	line.Reset()
	_, _ = line.Write(text)
	return line, nil
}

// rebuilt redacts a line field by field. A secret can be part of a number, or
// look like the letter of an escape: to replace it in the finished line would
// leave no JSON.
func (e encoder) rebuilt(line []byte) []byte {
	fields, _ := parse(nil, line)
	text := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			text = append(text, ',')
		}
		for j, part := range []string{string(f.key), string(f.text)} {
			if j > 0 {
				text = append(text, ':')
			}
			text = append(text, '"')
			text = append(text, escaped(e.redactor.String(part))...)
			text = append(text, '"')
		}
	}
	return append(text, "}\n"...)
}
