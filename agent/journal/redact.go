package journal

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"startup-bundle/internal/secret"
)

// minSecret is the shortest text that is replaced, in bytes. To replace shorter
// ones would make a log unreadable and still give them away.
const minSecret = 4

// Redactor replaces secrets in finished log lines. It is safe for concurrent use.
type Redactor struct {
	mu    sync.RWMutex
	known [][]byte // longest first, so that a secret inside another leaves no rest
}

// Add makes the redactor replace the secrets from now on, as they are, as JSON
// escapes them, and each of their lines alone.
func (r *Redactor) Add(secrets ...secret.String) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		text := s.Reveal()
		forms := []string{text, escaped(text)}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\r\n")
			forms = append(forms, line, escaped(line))
		}
		for _, form := range forms {
			if len(form) >= minSecret && !slices.ContainsFunc(r.known, func(k []byte) bool { return string(k) == form }) {
				r.known = append(r.known, []byte(form))
			}
		}
	}
	slices.SortStableFunc(r.known, func(a, b []byte) int { return len(b) - len(a) })
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
	return line
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
	if clean := e.redactor.Bytes(line.Bytes()); len(clean) != line.Len() || !bytes.Equal(clean, line.Bytes()) {
		text := bytes.Clone(clean)
		line.Reset()
		_, _ = line.Write(text)
	}
	return line, nil
}
