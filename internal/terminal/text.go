// Package terminal makes text from outside safe to show: names and errors in a
// bundle, an answer or a log can hold escapes that retitle, recolour or rewrite the
// terminal they are printed on.
package terminal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe returns text as one line that cannot move the cursor or reorder what
// stands around it. A line break becomes "; ", because the parts of a joined error
// are separate sentences. Control characters, Unicode's bidirectional marks and
// bytes that are not UTF-8 become U+FFFD; tabs stay.
func Safe(text string) string {
	if Printable([]byte(text)) {
		return text
	}
	if strings.ContainsAny(text, "\r\n") {
		text = oneLine(text)
	}
	return strings.Map(func(r rune) rune {
		if unsafe(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "; ")
}

// JSON returns a JSON text with every unsafe character written as an escape: the
// value stays the same, and printing it does no harm. encoding/json itself leaves
// U+0080 to U+009F and the bidirectional marks as they are.
func JSON(text []byte) []byte {
	if printableLines(text) {
		return text
	}
	var b strings.Builder
	for _, r := range string(text) {
		if r != '\n' && unsafe(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return []byte(b.String())
}

// PrintJSON prints a result for programs, made safe by [JSON].
func PrintJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(JSON(b.Bytes()))
	return err
}

// Printable reports whether text is ASCII without control characters but tab.
func Printable(text []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 { // eight bytes at once, up to one that is odd
		w := binary.LittleEndian.Uint64(text)
		if (w|(w-ones*' ')|(w+ones))&tops != 0 { // above 0x7f, below a space, 0x7f
			break
		}
		text = text[8:]
	}
	for _, c := range text {
		if (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return true
}

// printableLines is Printable for text of several lines.
func printableLines(text []byte) bool {
	for _, c := range text {
		if (c < ' ' && c != '\t' && c != '\n') || c > '~' {
			return false
		}
	}
	return true
}

func unsafe(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// IsSafe reports whether text is valid UTF-8 of one line that Safe leaves as it is.
func IsSafe(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unsafe) < 0
}

// Quote returns text as a word of a command that a person can copy into a shell.
// What cannot be shown becomes an escape of bash's $'…'.
func Quote(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:,%="
	switch {
	case text != "" && strings.Trim(text, plain) == "" && text[0] != '=': // for which zsh has a meaning
		return text
	case IsSafe(text) && !strings.Contains(text, "\t"):
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(plain+" ", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String() + "'"
}
