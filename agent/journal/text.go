package journal

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"startup-bundle/internal/terminal"
)

// Text renders one JSON line of the log for people: time, phase or module,
// message, data. A line that is no JSON comes back as it is, made safe.
func Text(line []byte) string {
	var p Printer
	return string(p.Append(nil, line))
}

// Printer renders lines of the log for people. The zero value is ready, and
// uses no colour.
type Printer struct {
	Color    bool // for a terminal: ANSI escapes
	Dates    bool // before the time of day
	Timeless bool // the time is left out
	fields   entry
}

// Append appends what [Text] returns for line, without a newline, to dst.
func (p *Printer) Append(dst, line []byte) []byte {
	if o, ok := splitOutput(line); ok && !p.Color && !p.Dates {
		if !p.Timeless {
			dst = append(appendClock(dst, o.time), ' ')
		}
		return append(append(append(dst, o.module...), ": | "...), o.line...)
	}
	fields, ok := parse(p.fields[:0], line)
	p.fields = fields[:0]
	if !ok {
		return appendSafe(dst, bytes.TrimSpace(line))
	}
	clock := appendClock
	if p.Dates {
		clock = appendDate
	}
	if at := fields.cut(KeyTime); !p.Timeless {
		dst = append(p.paint(dst, terminal.Faint, clock, at), ' ')
	}
	switch level := fields.cut(KeyLevel); string(level) {
	case "warn":
		dst = append(p.paint(dst, terminal.Yellow, appendSafe, []byte("WARN")), ' ')
	case "error":
		dst = append(p.paint(dst, terminal.Red, appendSafe, []byte("ERROR")), ' ')
	}
	who, module := fields.cut(KeyPhase), fields.cut(KeyModule)
	if len(module) > 0 {
		who = module
	}
	if len(who) > 0 {
		dst = append(p.paint(dst, terminal.Cyan, appendSafe, who), ": "...)
	}
	message := fields.cut(KeyMessage)
	if string(message) == MessageOutput {
		dst = appendSafe(append(dst, "| "...), fields.cut(KeyLine))
	} else {
		dst = appendSafe(dst, message)
	}
	failure := fields.cut("error")
	for _, f := range fields {
		switch string(f.key) {
		case KeyBootID, KeyUptime, KeyOffset: // for programs
			continue
		}
		dst = p.paint(append(dst, ' '), terminal.Faint, appendSafe, f.key)
		dst = appendValue(append(dst, '='), f)
	}
	if len(failure) > 0 {
		dst = p.paint(append(dst, ": "...), terminal.Red, appendSafe, failure)
	}
	return dst
}

func (p *Printer) paint(dst []byte, color string, write func(dst, text []byte) []byte, text []byte) []byte {
	if !p.Color {
		return write(dst, text)
	}
	return append(write(append(dst, color...), text), terminal.Plain...)
}

// appendClock appends the time of day of a time stamp, in UTC.
func appendClock(dst, stamp []byte) []byte {
	const form = "2006-01-02T15:04:05.000Z"
	if len(stamp) == len(form) && stamp[10] == 'T' && stamp[len(form)-1] == 'Z' && terminal.Printable(stamp) {
		return append(dst, stamp[11:len(form)-1]...)
	}
	t, err := time.Parse(time.RFC3339, string(stamp))
	if err != nil {
		return appendSafe(dst, stamp)
	}
	return t.UTC().AppendFormat(dst, "15:04:05.000")
}

// appendDate appends the date and the time of day, in UTC.
func appendDate(dst, stamp []byte) []byte {
	t, err := time.Parse(time.RFC3339, string(stamp))
	if err != nil {
		return appendSafe(dst, stamp)
	}
	return t.UTC().AppendFormat(dst, "2006-01-02 15:04:05.000")
}

// shortDigest is how much of a sha256 people are shown, in hex digits.
const shortDigest = 12

func appendValue(dst []byte, f field) []byte {
	switch key := string(f.key); {
	case !f.literal && key == "sha256" && len(f.text) > shortDigest && terminal.Printable(f.text):
		return append(appendSafe(dst, f.text[:shortDigest]), "…"...)
	case !f.literal && (len(f.text) == 0 || bytes.ContainsAny(f.text, " \t\"")):
		return strconv.AppendQuote(dst, string(f.text))
	case f.literal && (key == "duration" || key == "wait"):
		if seconds, err := strconv.ParseFloat(string(f.text), 64); err == nil {
			return append(dst, Seconds(time.Duration(seconds*float64(time.Second)))...)
		}
	case f.literal && key == "bytes":
		if n, err := strconv.ParseInt(string(f.text), 10, 64); err == nil {
			return append(dst, Bytes(n)...)
		}
	}
	return appendSafe(dst, f.text)
}

// Seconds writes a duration as people read it: 12ms, 3.4s, 2m05s.
func Seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Bytes writes a size as people read it, in powers of 1000: 512B, 1.2MB.
func Bytes(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + "B"
	}
	units := "kMGTPE"
	size, unit := float64(n)/1000, 0
	for size >= 999.95 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + string(units[unit]) + "B"
}

func appendSafe(dst, text []byte) []byte {
	if terminal.Printable(text) {
		return append(dst, text...)
	}
	return append(dst, terminal.Safe(string(text))...)
}
