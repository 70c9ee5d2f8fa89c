package runner

import (
	"bytes"
	"os"
	"slices"
	"strings"
)

const (
	// tailBytes bounds what is read of a file to find its last lines.
	tailBytes = 64 << 10
	// tailLine bounds one line of a tail.
	tailLine = 1 << 10
	ellipsis = "…"
)

// tail returns the last n lines of file between two offsets as clean makes them,
// oldest first, without empty ones. It reads at most the last 64 KiB; a line longer
// than 1 KiB is cut. What cannot be read is left out: a tail is an extra.
func tail(file *os.File, from, end int64, n int, clean func([]byte) string) []string {
	buf := make([]byte, min(tailBytes, max(0, end-from)))
	start, whole := lastLines(file, buf, from, end, tailBytes)
	got, _ := file.ReadAt(buf[:end-start], start)
	rest, found := buf[:got], true
	var lines []string
	for found && len(lines) < n {
		var last []byte
		rest, last, found = cutLast(rest, '\n')
		if !found {
			last = rest
		}
		if text := clean(last); text != "" {
			lines = append(lines, shorten(text, found || whole))
		}
	}
	slices.Reverse(lines)
	return lines
}

// lastLines returns where the last n lines between two offsets of a file
// begin, looking back no further than buf is long. Where that is within a
// line, whole is false if there is no other line to begin with.
func lastLines(file *os.File, buf []byte, from, end int64, n int) (start int64, whole bool) {
	start = max(from, end-int64(len(buf)))
	got, _ := file.ReadAt(buf[:end-start], start)
	text := bytes.TrimSuffix(buf[:got], []byte{'\n'})
	first := len(text)
	for n > 0 {
		i := bytes.LastIndexByte(text[:first], '\n')
		if i < 0 {
			break
		}
		first = i
		n--
	}
	switch {
	case n == 0 || start > from && first < len(text):
		return start + int64(first) + 1, true
	case start > from:
		return start, false
	}
	return start, true
}

// shorten cuts a clean line to tailLine bytes and an ellipsis: its end, or,
// where its beginning is lost already, its beginning.
func shorten(line string, keepStart bool) string {
	switch {
	case len(line) <= tailLine:
		return line
	case keepStart:
		return strings.ToValidUTF8(line[:tailLine], "") + ellipsis
	}
	return ellipsis + strings.ToValidUTF8(line[len(line)-tailLine:], "")
}
