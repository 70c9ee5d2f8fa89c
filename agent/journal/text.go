package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Text renders one JSON line of the log for people: time, phase or module,
// message, data. A line that is no JSON comes back as it is, made safe.
func Text(line []byte) string {
	fields, err := decode(line)
	if err != nil {
		return safe(strings.TrimSpace(string(line)))
	}
	var b strings.Builder
	b.WriteString(clock(fields.take(KeyTime)))
	level, phase, module := fields.take(KeyLevel), fields.take(KeyPhase), fields.take(KeyModule)
	switch level {
	case "warn", "error":
		b.WriteString(" " + strings.ToUpper(level))
	}
	if module != "" {
		phase = module
	}
	if phase != "" {
		b.WriteString(" " + safe(phase) + ":")
	}
	message := fields.take(KeyMessage)
	if message == MessageOutput {
		b.WriteString(" | " + safe(fields.take(KeyLine)))
	} else {
		b.WriteString(" " + safe(message))
	}
	failure := fields.take("error")
	for _, f := range fields {
		b.WriteString(" " + safe(f.key) + "=" + value(f))
	}
	if failure != "" {
		b.WriteString(": " + safe(failure))
	}
	return b.String()
}

type field struct {
	key   string
	value any
}

type fieldList []field

// take removes a field and returns its text.
func (l *fieldList) take(key string) string {
	for i, f := range *l {
		if f.key == key {
			*l = append((*l)[:i], (*l)[i+1:]...)
			return fmt.Sprint(f.value)
		}
	}
	return ""
}

// decode reads one flat JSON object and keeps the order of its fields.
func decode(line []byte) (fieldList, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("a log line is a JSON object: %w", err)
	}
	var list fieldList
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		list = append(list, field{fmt.Sprint(key), v})
	}
	return list, nil
}

func clock(stamp string) string {
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return safe(stamp)
	}
	return t.UTC().Format("15:04:05.000")
}

func value(f field) string {
	number, ok := f.value.(json.Number)
	if !ok {
		text := fmt.Sprint(f.value)
		if text == "" || strings.ContainsAny(text, " \t\"") {
			return strconv.Quote(text)
		}
		return safe(text)
	}
	switch f.key {
	case "duration":
		if seconds, err := number.Float64(); err == nil {
			return Seconds(time.Duration(seconds * float64(time.Second)))
		}
	case "bytes":
		if n, err := number.Int64(); err == nil {
			return Bytes(n)
		}
	}
	return number.String()
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

// Bytes writes a size as people read it, in powers of 1000: 512 B, 1.2 MB.
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

// safe keeps control characters from a terminal: what a log carries came from
// scripts and servers.
func safe(text string) string {
	if !strings.ContainsFunc(text, unsafe) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unsafe(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

func unsafe(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 }
