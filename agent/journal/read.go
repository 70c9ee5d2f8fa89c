package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"startup-bundle/internal/files"
)

// Extent says which runs of a log to read.
type Extent int

// The extents. A log that has lost the beginning of the run is read from the
// oldest line it still has.
const (
	LastRun   Extent = iota // from the last start of the agent
	SinceBoot               // from the first start in the same boot as the last
	All
)

// block is how much is read at once when a log is searched from its end.
const block = 256 << 10

// Reader reads a log from some point of it to its end, and, where it grows, on:
// after io.EOF, Read may give more. Its memory does not grow with the log. Not
// for concurrent use.
type Reader struct {
	path  string
	files []part // oldest first; the last is the one that grows
}

// part is an open file of a log, to be read from an offset.
type part struct {
	*os.File
	from int64
}

// ErrNoLog means that there is no log.
var ErrNoLog = errors.New("there is no log")

// OpenReader opens the structured log at path, and its older file, for the extent.
// ErrNoLog: there is none. The caller closes it.
//
// It looks for the start of the last run from the end, and reads no more of the
// log than that takes.
func OpenReader(path string, extent Extent) (*Reader, error) {
	r, err := open(path)
	if err != nil {
		return nil, err
	}
	if extent == All {
		return r, nil
	}
	if err := r.seek(extent); err != nil {
		r.Close()
		return nil, fmt.Errorf("read log %s: %w", path, err)
	}
	return r, nil
}

// OpenRaw opens any log at an offset in bytes; its beginning, where it is
// shorter than that. ErrNoLog: there is none. The caller closes it.
func OpenRaw(path string, offset int64) (*Reader, error) {
	f, err := openPart(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoLog
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if size, err := f.size(); err != nil || offset > size {
		offset = 0
	}
	return &Reader{path: path, files: []part{{f.File, offset}}}, nil
}

func open(path string) (*Reader, error) {
	r := &Reader{path: path}
	// A folder that may not be entered is told of by the log that is there.
	if _, err := os.Stat(path); errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read log: %w", err)
	}
	for _, name := range []string{path + oldSuffix, path} {
		f, err := openPart(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("read log: %w", err)
		}
		r.files = append(r.files, f)
	}
	if len(r.files) == 0 {
		return nil, ErrNoLog
	}
	return r, nil
}

func openPart(path string) (part, error) {
	f, err := files.Open(path)
	return part{File: f}, err
}

func (p part) size() (int64, error) {
	info, err := p.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Close closes the files.
func (r *Reader) Close() {
	for _, f := range r.files {
		_ = f.Close()
	}
	r.files = nil
}

// seek moves the beginning to where the extent begins.
func (r *Reader) seek(extent Extent) error {
	boot := ""
	for i := len(r.files) - 1; i >= 0; i-- {
		before, err := r.files[i].size()
		for err == nil {
			var at int64
			at, err = r.files[i].lastStart(before)
			if err != nil || at < 0 {
				break
			}
			fields, _ := parse(nil, r.files[i].lineAt(at))
			id := fields.take(KeyBootID)
			if boot != "" && id != boot {
				return nil
			}
			r.begin(i, at)
			if extent == LastRun || id == "" {
				return nil
			}
			boot, before = id, at
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin makes the reader begin in one of its files. Older ones stay open: an
// extent may still reach back into them.
func (r *Reader) begin(file int, at int64) {
	r.files[file].from = at
	for i := range file {
		r.files[i].from, _ = r.files[i].size()
	}
}

// marker is what the first line of a run has. It is found in no other: within a
// string, JSON escapes the quotes.
func marker() []byte { return []byte(`"` + KeyMessage + `":"` + MessageStarted + `"`) }

// lastStart returns the offset of the last line before an offset that begins a
// run, -1 where there is none.
func (p part) lastStart(before int64) (int64, error) {
	at, err := p.lastIndex(marker(), before)
	if err != nil || at < 0 {
		return at, err
	}
	begin := max(0, at-block)
	buf := make([]byte, at-begin)
	if _, err := p.ReadAt(buf, begin); err != nil && !errors.Is(err, io.EOF) {
		return -1, err
	}
	return begin + int64(bytes.LastIndexByte(buf, '\n')) + 1, nil
}

// lastIndex returns the offset of the last text that ends before an offset, -1
// where there is none.
func (p part) lastIndex(text []byte, before int64) (int64, error) {
	buf := make([]byte, block)
	for end := before; end > 0; {
		start := max(0, end-block)
		n, err := p.ReadAt(buf[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return -1, err
		}
		if i := lastIndex(buf[:n], text); i >= 0 {
			return start + int64(i), nil
		}
		if start == 0 {
			break
		}
		end = start + int64(len(text)) - 1
	}
	return -1, nil
}

// lastIndex is bytes.LastIndex for what is mostly not there. Forwards there is an
// assembly routine, backwards there is none.
func lastIndex(in, text []byte) int {
	last := -1
	for {
		i := bytes.Index(in[last+1:], text)
		if i < 0 {
			return last
		}
		last += 1 + i
	}
}

// lineAt returns the line at an offset, or as much of it as a block holds.
func (p part) lineAt(at int64) []byte {
	buf := make([]byte, 16<<10)
	n, _ := p.ReadAt(buf, at)
	line, _, _ := bytes.Cut(buf[:n], []byte{'\n'})
	return line
}

// Last moves the beginning so that at most n lines are left.
func (r *Reader) Last(n int) error {
	for i, f := range slices.Backward(r.files) {
		size, err := f.size()
		if err != nil {
			return err
		}
		at, left, err := f.lastLines(size, n)
		if err != nil {
			return fmt.Errorf("read log %s: %w", r.path, err)
		}
		if left == 0 {
			r.begin(i, at)
			return nil
		}
		n = left
	}
	return nil
}

// lastLines returns where the last n lines before an offset begin, and how many
// of the n are not there.
func (p part) lastLines(end int64, n int) (at int64, left int, err error) {
	at = end
	buf := make([]byte, block)
	for pos := end - 1; n > 0 && pos > p.from; { // the last line's own newline does not count
		start := max(p.from, pos-block)
		got, err := p.ReadAt(buf[:pos-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		text := buf[:got]
		for n > 0 {
			i := bytes.LastIndexByte(text, '\n')
			if i < 0 {
				break
			}
			at, text, n = start+int64(i)+1, text[:i], n-1
		}
		pos = start
	}
	if n > 0 && end > p.from {
		at, n = p.from, n-1
	}
	return at, n, nil
}

// Read reads on. At the end of what there is it returns io.EOF; called again
// later it gives what came since, also where the log was moved aside meanwhile.
func (r *Reader) Read(buf []byte) (int, error) {
	for len(r.files) > 0 {
		f := &r.files[0]
		n, err := f.ReadAt(buf, f.from)
		f.from += int64(n)
		if n > 0 {
			return n, nil
		}
		if !errors.Is(err, io.EOF) {
			return 0, err
		}
		if len(r.files) == 1 {
			if !r.next() {
				return 0, io.EOF
			}
			continue // once more: something may have come before it was moved aside
		}
		_ = f.Close()
		r.files = r.files[1:]
	}
	return 0, io.EOF
}

// next looks whether another file took the place of the one that was read, or
// whether that was emptied.
func (r *Reader) next() bool {
	last := &r.files[len(r.files)-1]
	here, err := last.Stat()
	if err != nil {
		return false
	}
	if here.Size() < last.from {
		last.from = 0
		return here.Size() > 0
	}
	now, err := os.Stat(r.path)
	if err != nil || os.SameFile(here, now) {
		return false
	}
	f, err := openPart(r.path)
	if err != nil {
		return false
	}
	r.files = append(r.files, f)
	return true
}
