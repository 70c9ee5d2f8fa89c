package journal

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"startup-bundle/internal/terminal"
)

// field is one field of an entry. Its text is that of a string, unescaped, or
// the JSON of anything else.
type field struct {
	key, text []byte
	literal   bool // no string
}

// entry is a line of the log: the fields of one flat JSON object, in order.
type entry []field

// take removes a field and returns its text.
func (e *entry) take(key string) string { return string(e.cut(key)) }

// cut is take without a copy.
func (e *entry) cut(key string) []byte {
	for i := range *e {
		if f := (*e)[i]; string(f.key) == key {
			*e = append((*e)[:i], (*e)[i+1:]...)
			return f.text
		}
	}
	return nil
}

// parse appends the fields of line to e. What it returns points into line where
// it can. False: line is no JSON object.
//
// It is much faster than encoding/json, whose answer for the same line it gives;
// what is unusual about a line is left to that.
func parse(e entry, line []byte) (entry, bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("{"))
	for ok = ok && utf8.Valid(line); ok && len(rest) > 0; {
		var f field
		if f.key, rest, ok = cutString(rest); !ok {
			break
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(":")); !ok || len(rest) == 0 {
			break
		}
		if rest[0] == '"' {
			f.text, rest, ok = cutString(rest)
		} else {
			f.text, rest, ok = cutLiteral(rest)
			f.literal = true
		}
		if !ok || len(rest) == 0 {
			break
		}
		e = append(e, f)
		switch {
		case rest[0] == ',':
			rest = rest[1:]
		case rest[0] == '}' && len(rest) == 1:
			return e, true
		default:
			ok = false
		}
	}
	return parseSlowly(e[:0], line)
}

// cutString reads a string. False: it has an escape or an odd byte in it that is
// not dealt with here.
func cutString(text []byte) (s, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, nil, false
	}
	text = text[1:]
	end := bytes.IndexByte(text, '"')
	if end < 0 {
		return nil, nil, false
	}
	if bytes.IndexByte(text[:end], '\\') < 0 {
		return text[:end], text[end+1:], true
	}
	s = make([]byte, 0, end+32)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			return s, text[i+1:], true
		case '\\':
			i++
			if i == len(text) {
				return nil, nil, false
			}
			plain := unescaped(text[i])
			if plain == 0 {
				return nil, nil, false
			}
			s = append(s, plain)
		default:
			s = append(s, c)
		}
	}
	return nil, nil, false
}

// unescaped returns what stands behind a backslash means, 0 for what takes more.
func unescaped(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	}
	return 0
}

// cutLiteral reads a number, true, false or null.
func cutLiteral(text []byte) (literal, rest []byte, ok bool) {
	end := bytes.IndexAny(text, ",}")
	if end <= 0 {
		return nil, nil, false
	}
	literal = text[:end]
	if c := literal[0]; c == '[' || c == '{' || !json.Valid(literal) {
		return nil, nil, false
	}
	return bytes.TrimSpace(literal), text[end:], true
}

func parseSlowly(e entry, line []byte) (entry, bool) {
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return e, false
	}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return e, false
		}
		f := field{key: []byte(name), text: value, literal: true}
		var text string
		if value[0] == '"' && json.Unmarshal(value, &text) == nil {
			f.text, f.literal = []byte(text), false
		}
		e = append(e, f)
	}
	_, err := d.Token()
	return e, err == nil
}

// output is a line of a module's output.
type output struct{ time, module, line []byte }

// splitOutput reads the plainest form of such a line, as the journal writes it,
// several times faster than parse: floods are made of them. False: it is another.
func splitOutput(line []byte) (o output, ok bool) {
	const stamp = len("2006-01-02T15:04:05.000Z")
	rest, ok := bytes.CutPrefix(line, []byte(`{"level":"info","time":"`))
	if !ok || len(rest) < stamp {
		return o, false
	}
	o.time = rest[:stamp]
	if rest, ok = bytes.CutPrefix(rest[stamp:], []byte(`","msg":"`+MessageOutput+`","phase":"modules","module":"`)); !ok {
		return o, false
	}
	if o.module, rest, ok = bytes.Cut(rest, []byte(`","line":"`)); !ok {
		return o, false
	}
	o.line, ok = bytes.CutSuffix(rest, []byte(`"}`))
	plain := func(text []byte) bool {
		return bytes.IndexByte(text, '"') < 0 && bytes.IndexByte(text, '\\') < 0 && terminal.Printable(text)
	}
	return o, ok && plain(o.line) && plain(o.module) && plain(o.time)
}
