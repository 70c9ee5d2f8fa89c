package strictyaml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// checkText refuses what no editor writes: it would reach a shell or a log.
func checkText(text []byte) *Error {
	line, column := 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == '\t', r == '\r' && i+1 < len(text) && text[i+1] == '\n':
		case r == utf8.RuneError && size == 1:
			return &Error{Line: line, Column: column, Problem: "this is not UTF-8 text", Hint: "save the file as UTF-8"}
		case Control(r):
			return &Error{
				Line: line, Column: column, Problem: fmt.Sprintf("the invisible character U+%04X is here", r),
				Hint: "remove it",
			}
		}
		i += size
		column++
	}
	return nil
}

// Control reports whether r is a control character, a line end that only some
// programs know, or a byte order mark: invisible, and able to move a terminal's
// cursor.
func Control(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufeff'
}

// surrogatePair is a character outside the Basic Multilingual Plane as JSON writes
// it (RFC 8259, section 7), after the backslashes before it.
const surrogatePair = `\\*\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`

const pairLength = len(`\ud83d\ude00`)

// pairs are the escaped surrogate pairs of a text. JSON writes characters so, and
// JSON is YAML, but the library refuses them. Whether they are escapes or plain
// text is known only when the library has found the "quotes", so each character
// of a pair is replaced by a stand-in that means nothing to YAML anywhere. The
// length stays, and with it every line and column.
type pairs struct{ any bool }

// standIn is where the stand-ins of the ASCII characters start, in the last of
// Unicode's private areas.
const standIn = 0x10ff00

// hidePairs replaces the surrogate pairs of source. A text that holds the
// stand-ins already, as they are or as escapes, is left alone, and the library
// then refuses the pairs.
func hidePairs(source string) (hidden string, p *pairs) {
	if !strings.Contains(source, `\ud`) && !strings.Contains(source, `\uD`) ||
		strings.ContainsFunc(source, func(r rune) bool { return r >= standIn }) ||
		strings.Contains(strings.ToLower(source), `\u0010ff`) {
		return source, &pairs{}
	}
	p = &pairs{}
	hidden = regexp.MustCompile(surrogatePair).ReplaceAllStringFunc(source, func(found string) string {
		escapes := len(found) - pairLength
		if escapes%2 == 1 { // the backslash before it makes this one text
			return found
		}
		p.any = true
		return found[:escapes] + strings.Map(func(r rune) rune { return r + standIn }, found[escapes:])
	})
	return hidden, p
}

// restore returns the text of one value, in which a pair in "quotes" is one
// character and any other the text that it was.
func (p *pairs) restore(value string, quoted bool) string {
	if !p.any || !strings.ContainsFunc(value, func(r rune) bool { return r >= standIn }) {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		switch {
		case r < standIn:
			b.WriteString(value[i : i+size])
		case quoted:
			size *= pairLength
			b.WriteRune(decodePair(value[i : i+size]))
		default:
			b.WriteRune(r - standIn)
		}
		i += size
	}
	return b.String()
}

func decodePair(hidden string) rune {
	text := strings.Map(func(r rune) rune { return r - standIn }, hidden)
	high, _ := strconv.ParseUint(text[2:6], 16, 16)
	low, _ := strconv.ParseUint(text[8:12], 16, 16)
	return utf16.DecodeRune(rune(high), rune(low))
}

// After returns what follows the scalar n on its line. ok is false if n is a block
// (| or >), or goes on after its first line.
func (t *Tree) After(n *Node) (rest string, ok bool) {
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || n.Line < 1 || n.Line > len(t.lines) {
		return "", false
	}
	runes := []rune(t.lines[n.Line-1])
	if n.Column-1 > len(runes) {
		return "", false
	}
	line := string(runes[max(n.Column-1, 0):])
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(line); i++ {
			switch line[i] {
			case '\\':
				i++
			case '"':
				return line[i+1:], true
			}
		}
		return "", false
	case n.Style&yaml.SingleQuotedStyle != 0:
		return strings.CutPrefix(line, "'"+strings.ReplaceAll(n.Value, "'", "''")+"'")
	}
	return strings.CutPrefix(line, n.Value)
}

// tabIndented reports whether a tab is among the blanks that line begins with.
func (t *Tree) tabIndented(line int) bool {
	if line < 1 || line > len(t.lines) {
		return false
	}
	text := t.lines[line-1]
	return strings.Contains(text[:len(text)-len(strings.TrimLeft(text, " \t"))], "\t")
}

// at returns the character at a place, 0 if there is none.
func (t *Tree) at(line, column int) rune {
	if line < 1 || line > len(t.lines) {
		return 0
	}
	runes := []rune(t.lines[line-1])
	if column < 1 || column > len(runes) {
		return 0
	}
	return runes[column-1]
}
