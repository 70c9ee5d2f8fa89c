package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
)

// minSecret is the shortest text that is replaced, in bytes. To replace shorter
// ones would make a log unreadable and still give them away.
const minSecret = 4

// Redactor replaces secrets: those it was told, and what has the form of one. It is
// safe for concurrent use.
type Redactor struct {
	mu    sync.RWMutex
	known [][]byte
	forms Scrubber
}

// NewRedactor returns a redactor that knows no secret yet.
func NewRedactor() *Redactor { return &Redactor{forms: NewScrubber()} }

// Add makes the redactor replace the secrets from now on: in every form that
// [variants] gives, and those as JSON, %q and a query escape them.
func (r *Redactor) Add(secrets ...secret.String) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		for _, text := range variants(s.Reveal()) {
			if len(strings.TrimSpace(text)) < minSecret {
				continue
			}
			for _, form := range []string{
				text, escaped(text), escapedHTML(text), escapedASCII(text), unquoted(strconv.Quote(text)),
				url.QueryEscape(text), url.PathEscape(text),
			} {
				if !slices.ContainsFunc(r.known, func(k []byte) bool { return string(k) == form }) {
					r.known = append(r.known, []byte(form))
				}
			}
		}
	}
}

// variants returns the texts as which a secret can be printed without being looked
// into: whole or one of its lines, as it is or as a shell without quotes, a terminal
// and [terminal.Safe] leave it.
func variants(text string) []string {
	parts := []string{text}
	parts = append(parts, strings.Split(text, "\n")...)
	parts = append(parts, strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })...)
	var all []string
	for _, part := range parts {
		seen := strings.Map(func(r rune) rune {
			if !terminal.IsSafe(string(r)) {
				return -1
			}
			return r
		}, part)
		for _, v := range []string{part, terminal.Safe(part), seen} {
			words := strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
			all = append(all, v, strings.TrimSpace(v), strings.Join(words, " "), strings.Join(strings.Fields(v), " "))
		}
	}
	return all
}

// escaped returns text as it stands between the quotes of a JSON string.
func escaped(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return text
	}
	return unquoted(strings.TrimSpace(b.String()))
}

// escapedHTML is escaped as Go writes JSON unless told otherwise.
func escapedHTML(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return unquoted(string(quoted))
}

// escapedASCII is escaped as Python writes JSON unless told otherwise.
func escapedASCII(text string) string {
	var b strings.Builder
	for _, r := range escaped(text) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func unquoted(quoted string) string { return quoted[1 : len(quoted)-1] }

// span is a part of a text, from its first byte to the one after its last.
type span struct{ from, to int }

// spans returns where known secrets are in text, in order; those that overlap are
// one. What an earlier pass put in the place of a secret is not one. With cut, a
// secret whose beginning text ends with counts too: its span goes beyond the end.
func (r *Redactor) spans(text []byte, cut bool) []span {
	var found []span
	for _, k := range r.known {
		for at := 0; ; at++ {
			i := bytes.Index(text[at:], k)
			if i < 0 {
				break
			}
			at += i
			found = append(found, span{at, at + len(k)})
		}
		for n := min(len(k)-1, len(text)); cut && n > 0; n-- {
			if bytes.HasSuffix(text, k[:n]) {
				found = append(found, span{len(text) - n, len(text) + 1})
				break
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	marks := marksIn(text)
	found = slices.DeleteFunc(found, func(s span) bool {
		return slices.ContainsFunc(marks, func(m span) bool { return m.from <= s.from && s.to <= m.to })
	})
	return merged(found)
}

// merged sorts spans, and makes one of those that overlap.
func merged(found []span) []span {
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	whole := found[:0]
	for _, s := range found {
		if n := len(whole); n > 0 && s.from < whole[n-1].to {
			whole[n-1].to = max(whole[n-1].to, s.to)
			continue
		}
		whole = append(whole, s)
	}
	return whole
}

func marksIn(text []byte) (marks []span) {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(secret.Redacted))
		if i < 0 {
			return marks
		}
		marks = append(marks, span{at + i, at + i + len(secret.Redacted)})
		at += i + len(secret.Redacted)
	}
}

// Bytes returns free text with every secret replaced; text itself where there is
// none in it. It must not be used on what has a structure: see JSON.
func (r *Redactor) Bytes(text []byte) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if found := r.spans(text, false); len(found) > 0 {
		clean, from := []byte(nil), 0
		for _, s := range found {
			clean = append(append(clean, text[from:s.from]...), secret.Redacted...)
			from = s.to
		}
		text = append(clean, text[from:]...)
	}
	return r.forms.Bytes(text)
}

// String is Bytes for text.
func (r *Redactor) String(text string) string { return string(r.Bytes([]byte(text))) }

// Cut returns where to cut text so that no secret is cut in two: at an offset, or
// before the secret that stands across it, or after that if it is what text begins
// with. 0: that secret may go on after the end of text.
func (r *Redactor) Cut(text []byte, at int) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range merged(append(r.spans(text, true), r.forms.spans(text, at)...)) {
		switch {
		case at <= s.from || s.to <= at:
		case s.from > 0:
			return s.from
		case s.to > len(text):
			return 0
		default:
			return s.to
		}
	}
	return at
}

// vocabulary are the keys whose values are the log's and the record's own words,
// numbers of versions, times and digests, and names that others of this program
// look for. A secret that is one of these words gives nothing away by standing
// there, and to replace it would make the log lie.
func vocabulary(key string) bool {
	switch key {
	case KeyTime, KeyLevel, KeyMessage, KeyPhase, KeyModule, KeyBootID,
		"state", "bundle", "place", "version", "encryption", "vouched_by", "sha256", "before", "instance_id", "signal",
		"service", "action", "mode", "at", // these are of the log, the next of the record
		"name", "agent", "userdata_sha256", "run", "on_failure", "outcome", "started_at", "ended_at", "next_retry_at":
		return true
	}
	return false
}

// JSON returns text, which is JSON, with every secret in the strings of its free
// text replaced: neither keys nor numbers nor what [vocabulary] excepts. So what
// reads the text finds in it what it looks for, whatever the secrets are.
func (r *Redactor) JSON(text []byte) []byte {
	if !r.suspects(text) {
		return text
	}
	var out []byte
	key, done := "", 0
	for at := 0; at < len(text); at++ {
		if text[at] != '"' {
			continue
		}
		end := stringEnd(text, at)
		literal := text[at:end]
		if rest := bytes.TrimLeft(text[end:], " \t\r\n"); len(rest) > 0 && rest[0] == ':' {
			key = string(literal[1 : len(literal)-1])
		} else if !vocabulary(key) {
			var value string
			if json.Unmarshal(literal, &value) == nil {
				if clean := r.String(value); clean != value {
					out = append(append(out, text[done:at]...), '"')
					out = append(append(out, escaped(clean)...), '"')
					done = end
				}
			}
		}
		at = end - 1
	}
	return append(out, text[done:]...)
}

// Log is JSON for a log of many lines. A private key that a module printed, one line
// in each entry, is replaced as well; a line that is not JSON is taken for free text.
func (r *Redactor) Log(text []byte) []byte {
	var out []byte
	inKey := false
	for line := range bytes.Lines(text) {
		switch {
		case !json.Valid(line):
			out = append(out, r.Bytes(line)...)
			continue
		case bytes.Contains(line, []byte("-----END")):
			inKey = false
		case inKey:
			line = withoutLine(line)
		}
		inKey = inKey || bytes.Contains(line, []byte("PRIVATE KEY-----")) && !bytes.Contains(line, []byte("-----END"))
		out = append(out, r.JSON(line)...)
	}
	return out
}

// withoutLine returns an entry with its line of output replaced.
func withoutLine(entry []byte) []byte {
	key := []byte(`"` + KeyLine + `":"`)
	at := bytes.Index(entry, key)
	if at < 0 {
		return entry
	}
	at += len(key) - 1
	return slices.Concat(entry[:at], []byte(`"`+secret.Redacted+`"`), entry[stringEnd(entry, at):])
}

// suspects reports whether there may be a secret in JSON: where nothing is escaped,
// each stands there as it is.
func (r *Redactor) suspects(text []byte) bool {
	if bytes.IndexByte(text, '\\') >= 0 {
		return true
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	contained := func(k []byte) bool { return bytes.Contains(text, k) }
	return slices.ContainsFunc(r.known, contained) ||
		slices.ContainsFunc(r.forms.patterns, func(p pattern) bool { return contained([]byte(p.hint)) })
}

// stringEnd returns the offset after the JSON string that begins at an offset.
func stringEnd(text []byte, at int) int {
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// encoder redacts what another encoder has finished: fields and errors alike,
// whatever type they came from.
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
	clean := e.redactor.JSON(line.Bytes())
	if bytes.Equal(clean, line.Bytes()) {
		return line, nil
	}
	text := bytes.Clone(clean)
	line.Reset()
	_, _ = line.Write(text)
	return line, nil
}
