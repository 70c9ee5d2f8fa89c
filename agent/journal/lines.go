package journal

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"startup-bundle/internal/terminal"
)

// Lines splits what a reader gives into lines.
type Lines struct {
	buf  []byte
	have int
}

// Each calls f with each line that r has, without its newline, until r ends; a
// line longer than 512 KiB comes in pieces. What follows the last newline is kept
// for a further call, or, with last, passed on too. f must not keep the line.
func (l *Lines) Each(r io.Reader, last bool, f func(line []byte) error) error {
	if l.buf == nil {
		l.buf = make([]byte, 2*block)
	}
	for {
		n, err := r.Read(l.buf[l.have:])
		l.have += n
		if failed := l.pass(f); failed != nil {
			return failed
		}
		if errors.Is(err, io.EOF) {
			if last && l.have > 0 {
				l.have, n = 0, l.have
				return f(l.buf[:n])
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *Lines) pass(f func(line []byte) error) error {
	text := l.buf[:l.have]
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			break
		}
		if err := f(text[:i]); err != nil {
			return err
		}
		text = text[i+1:]
	}
	if len(text) == len(l.buf) {
		if err := f(text); err != nil {
			return err
		}
		text = nil
	}
	l.have = copy(l.buf, text)
	return nil
}

// Event is an entry of the log, read back.
type Event struct {
	Time    time.Time
	Message string
	Phase   string
	Module  string
	fields  entry
}

// ParseEvent reads a line of the log. False: it is none.
func ParseEvent(line []byte) (Event, bool) {
	fields, ok := parse(nil, line)
	if !ok {
		return Event{}, false
	}
	at, err := time.Parse(time.RFC3339, fields.take(KeyTime))
	return Event{
		Time: at, Message: fields.take(KeyMessage), Phase: fields.take(KeyPhase), Module: fields.take(KeyModule), fields: fields,
	}, err == nil
}

// Text returns a field's text, empty where there is none.
func (e Event) Text(key string) string {
	for _, f := range e.fields {
		if string(f.key) == key {
			return string(f.text)
		}
	}
	return ""
}

// Number returns a field's number, 0 where there is none.
func (e Event) Number(key string) float64 {
	n, err := strconv.ParseFloat(e.Text(key), 64)
	if err != nil {
		return 0
	}
	return n
}

// recent bounds how far back [Output] looks, in bytes.
const recent = 1 << 20

// Output returns the last n lines that a module printed in the last run, oldest
// first, from the structured log at path: without secrets. What lies more than
// 1 MiB back is not looked for. No module: any entry but output, as [Text] shows
// it. at is when the last was written.
func Output(path, module string, n int) (lines []string, at time.Time, err error) {
	r, err := OpenReader(path, LastRun)
	if err != nil {
		return nil, at, err
	}
	defer r.Close()
	last := &r.files[len(r.files)-1]
	size, err := last.size()
	if err != nil {
		return nil, at, err
	}
	if size-last.from > recent {
		r.begin(len(r.files)-1, size-recent) // within a line, which then is none
	}
	output := []byte(`"` + KeyMessage + `":"` + MessageOutput + `"`)
	var split Lines
	err = split.Each(r, false, func(line []byte) error {
		if bytes.Contains(line, output) == (module == "") {
			return nil
		}
		e, ok := ParseEvent(line)
		if !ok || e.Module != module && module != "" {
			return nil
		}
		at = e.Time
		text := Text(line)
		if module != "" {
			text = terminal.Safe(e.Text(KeyLine))
		}
		if lines = append(lines, text); len(lines) > n {
			lines = slices.Delete(lines, 0, len(lines)-n)
		}
		return nil
	})
	return lines, at, err
}

// ModuleStart returns where in a module's own log its part of the extent begins:
// the offset that the log at path notes at the module's first start in there. 0:
// it notes none. ErrNoLog: there is no log.
func ModuleStart(path, module string, extent Extent) (offset int64, err error) {
	r, err := OpenReader(path, extent)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	started := []byte(`"` + KeyMessage + `":"` + MessageModuleStarted + `"`)
	errFound := errors.New("found")
	var split Lines
	err = split.Each(r, false, func(line []byte) error {
		if !bytes.Contains(line, started) {
			return nil
		}
		if e, ok := ParseEvent(line); ok && e.Module == module {
			offset = int64(e.Number(KeyOffset))
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return offset, err
}
