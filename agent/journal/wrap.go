package journal

import (
	"strings"
	"unicode"
)

// Wrap breaks text into lines of at most width columns, at spaces where there are
// any: a word that is longer is broken. Runs of spaces and newlines become one
// space or one break. There is always one line.
func Wrap(text string, width int) []string {
	var lines []string
	line, length := "", 0
	for _, word := range strings.Fields(text) {
		n := Columns(word)
		if length > 0 && length+1+n <= width {
			line, length = line+" "+word, length+1+n
			continue
		}
		if length > 0 {
			lines = append(lines, line)
		}
		for n > width {
			first := Cut(word, max(width, 2)) // a wide letter needs its two
			lines, word = append(lines, first), word[len(first):]
			n = Columns(word)
		}
		line, length = word, n
	}
	return append(lines, line)
}

// Columns is how wide a terminal shows text: two columns for a wide letter of East
// Asia and most pictures, as UAX #11 has them, none for a mark on another letter.
func Columns(text string) int {
	n := 0
	for _, r := range text {
		n += columns(r)
	}
	return n
}

// Cut returns the beginning of text that is at most n columns wide.
func Cut(text string, n int) string {
	for i, r := range text {
		if n -= columns(r); n < 0 {
			return text[:i]
		}
	}
	return text
}

func columns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf && r != 0x303f, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff01 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
