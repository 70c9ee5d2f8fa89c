package journal

import (
	"strings"
	"unicode/utf8"
)

// Wrap breaks text into lines of at most width runes, at spaces where there are
// any: a word that is longer is broken. Runs of spaces and newlines become one
// space or one break. There is always one line.
func Wrap(text string, width int) []string {
	var lines []string
	line, length := "", 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if length > 0 && length+1+n <= width {
			line, length = line+" "+word, length+1+n
			continue
		}
		if length > 0 {
			lines = append(lines, line)
		}
		for n > width {
			cut := 0
			for range width {
				_, size := utf8.DecodeRuneInString(word[cut:])
				cut += size
			}
			lines, word, n = append(lines, word[:cut]), word[cut:], n-width
		}
		line, length = word, n
	}
	return append(lines, line)
}
