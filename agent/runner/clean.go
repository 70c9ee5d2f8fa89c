package runner

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	escape    = 0x1b
	bell      = 0x07
	backspace = 0x08
)

// Clean makes one line of raw output safe to log and to show on a terminal:
// valid UTF-8, at most twice as long, with no control character but tab and no
// space at its end. Escape sequences are removed; a backspace takes back what
// it covers; of the states of a progress bar (separated by carriage returns)
// the last visible one stays; each run of invalid bytes, control characters
// and text-direction overrides becomes one U+FFFD.
func Clean(line []byte) string {
	line = bytes.TrimRight(line, "\r\n")
	for {
		before, last, found := cutLast(line, '\r')
		if !found {
			return cleanSegment(line)
		}
		if text := cleanSegment(last); text != "" {
			return text
		}
		line = before
	}
}

func cleanSegment(line []byte) string {
	out := make([]byte, 0, len(line))
	bad := false // the last thing written stands for a run of bad ones
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c >= ' ' && c < 0x7f || c == '\t':
			out, bad = append(out, c), false
			i++
			continue
		case c == escape:
			i += escapeLen(line[i:])
			continue
		case c == backspace:
			_, n := utf8.DecodeLastRune(out)
			out, bad = out[:len(out)-n], false
			i++
			continue
		}
		r, n := utf8.DecodeRune(line[i:])
		i += n
		if r == utf8.RuneError && n == 1 || unsafeRune(r) {
			if !bad {
				out = utf8.AppendRune(out, utf8.RuneError)
			}
			bad = true
			continue
		}
		out, bad = utf8.AppendRune(out, r), false
	}
	return strings.TrimRightFunc(string(out), unicode.IsSpace)
}

// unsafeRune reports what can move the cursor, break the line or reorder it.
func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// escapeLen returns the length of the escape sequence that text begins with
// (ECMA-48), as far as it goes.
func escapeLen(text []byte) int {
	if len(text) < 2 {
		return len(text)
	}
	switch text[1] {
	case '[': // CSI: parameters and intermediates up to a final byte
		return ending(text, 2, 0x20, 0x40)
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC: a string up to BEL or ST
		return 2 + stringLen(text[2:])
	}
	return ending(text, 1, 0x20, 0x30)
}

// ending skips the bytes of text from i on that lie between low and high, and
// the one above them that ends the sequence.
func ending(text []byte, i int, low, high byte) int {
	for i < len(text) && text[i] >= low && text[i] < high {
		i++
	}
	if i < len(text) && text[i] >= high && text[i] < 0x7f {
		i++
	}
	return i
}

// stringLen returns the length of a control string with its end, 0 if it has
// none: then it was none, and its text is kept.
func stringLen(text []byte) int {
	for i, c := range text {
		switch c {
		case bell:
			return i + 1
		case escape:
			return min(i+2, len(text))
		}
	}
	return 0
}
