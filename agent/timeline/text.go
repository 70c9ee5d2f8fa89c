package timeline

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"startup-bundle/agent/journal"
)

const (
	width     = 80
	nameWidth = 18
	barWidth  = 34
)

// Text writes the timeline as a chart of 80 columns.
func (t *Timeline) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, started %s\n\n", t.Title(), t.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	from := t.begin()
	whole := max(t.End-from, time.Millisecond)
	for _, s := range t.Spans {
		name := s.Name
		if s.Kind == Part || s.Kind == Attempt {
			name = "  " + name
		}
		line := fmt.Sprintf("%-*s %s %s", nameWidth, cut(name, nameWidth), s.bar(from, whole), s.text())
		b.WriteString(strings.TrimRight(cut(line, width), " ") + "\n")
	}
	fmt.Fprintf(&b, "%-*s %s\n", nameWidth, "", axis(from, t.End))
	_, err := io.WriteString(w, b.String())
	return err
}

// bar draws a span on the whole, at least one column of it.
func (s Span) bar(from, whole time.Duration) string {
	at := func(d time.Duration) int {
		return max(0, min(barWidth, int(float64(d-from)/float64(whole)*barWidth)))
	}
	first := min(at(s.From), barWidth-1)
	last := max(first+1, min(at(s.To), barWidth))
	full := "█"
	switch {
	case s.Kind == Boot:
		full = "░"
	case s.Failed:
		full = "▓"
	case s.Kind == Part, s.Retry:
		full = "▒"
	}
	cells := strings.Split(strings.Repeat(" ", first)+strings.Repeat(full, last-first)+strings.Repeat(" ", barWidth-last), "")
	for _, m := range s.Marks {
		cells[min(at(m), barWidth-1)] = "╳"
	}
	return strings.Join(cells, "")
}

// axis is the scale below the bars.
func axis(from, to time.Duration) string {
	left, right := scale(from), scale(to)
	return left + strings.Repeat(" ", max(1, barWidth-len(left)-len(right))) + right
}

func scale(d time.Duration) string {
	if d < 0 {
		return "-" + journal.Seconds(-d)
	}
	return journal.Seconds(d)
}

// cut shortens text to n columns.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}
