package runner

import (
	"bytes"
	"fmt"
	"os"
	"time"
	"unicode/utf8"
)

// MaxLine is the longest piece of output passed on at once, in raw bytes; a
// longer line comes in pieces.
const MaxLine = 16 << 10

// What is passed on of the output. A talkative package manager stays below the
// sustained rate; a script that prints without end makes about 100 MB of agent
// log an hour at most, and the first and last moments of any script are whole.
const (
	lineRate  = 200       // a second
	lineBurst = 2000      // at once, and at the end
	byteRate  = 32 << 10  // a second
	byteBurst = 256 << 10 // at once, and at the end

	// maxLag is how far the follower may be behind before it leaves out
	// output; keepLines is what it then takes up again.
	maxLag    = 1 << 20
	keepLines = 20
	// secretMost is the longest secret that is not cut in two: the kernel takes no
	// longer variable.
	secretMost = 128 << 10
	skipEvery  = time.Second
)

const (
	pollEvery   = 100 * time.Millisecond
	silentEvery = time.Minute
)

// follower passes on what is appended to a file, at a bounded rate and in
// constant memory: the file keeps what it has no time for. It polls: inotify
// would tell of every single write of a flood, and can be exhausted by others.
type follower struct {
	file    *os.File
	tell    Runner
	start   int64 // where this run's output begins
	offset  int64 // up to where it was passed on or left out
	size    int64
	omitted int64 // bytes, in all
	unsaid  int64 // of these, not yet told
	skipped time.Time
	grown   time.Time // when the file last grew
	silent  time.Time // when to tell of silence
	budget  budget
	buf     []byte
}

func newFollower(file *os.File, start int64, tell Runner) *follower {
	now := time.Now()
	return &follower{
		file: file, tell: tell,
		start: start, offset: start, size: start,
		grown: now, silent: now.Add(silentEvery),
		budget: budget{lines: lineBurst, bytes: byteBurst, filled: now},
		buf:    make([]byte, byteBurst),
	}
}

// run follows until stop is closed, and then to the file's end of that moment.
func (f *follower) run(stop <-chan struct{}) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			f.finish()
			return
		case <-tick.C:
			f.poll(time.Now())
		}
	}
}

func (f *follower) poll(now time.Time) {
	grown := f.measure()
	if f.size-f.offset > maxLag && now.Sub(f.skipped) >= skipEvery {
		f.skipTo(lastLines(f.file, f.buf, f.offset, f.size, keepLines))
		f.skipped = now
	}
	f.budget.fill(now)
	f.pass(false)
	switch {
	case grown:
		f.grown, f.silent = now, now.Add(silentEvery)
	case !now.Before(f.silent):
		f.silent = f.silent.Add(silentEvery)
		if f.tell.Silent != nil {
			f.tell.Silent(now.Sub(f.grown))
		}
	}
}

// finish passes on the last lines, whatever was passed on before: they are the
// ones that say how a script ended.
func (f *follower) finish() {
	f.measure()
	f.skipTo(lastLines(f.file, f.buf, f.offset, f.size, lineBurst))
	f.budget = budget{lines: 2 * lineBurst, bytes: 2 * byteBurst}
	f.pass(true)
}

// measure takes the file's size and reports whether it changed. A file that
// shrank was emptied by the script: what it holds now is new.
func (f *follower) measure() bool {
	now, err := size(f.file)
	if err != nil || now == f.size {
		return false
	}
	f.size = now
	if f.size < f.offset {
		f.start, f.offset = 0, 0
	}
	return true
}

// skipTo leaves out output up to an offset, or up to the secret that stands across
// it, which can be only if the offset is within a line.
func (f *follower) skipTo(offset int64, whole bool) {
	if s := f.tell.Secrets; s != nil && !whole {
		from := max(f.offset, offset-secretMost)
		window := make([]byte, offset-from+secretMost)
		n, _ := f.file.ReadAt(window, from)
		offset = from + int64(s.Cut(window[:n], min(n, int(offset-from))))
	}
	f.omitted += offset - f.offset
	f.unsaid += offset - f.offset
	f.offset = offset
}

// pass passes on whole lines as far as the budget goes; the last line, when
// last, even without its newline.
func (f *follower) pass(last bool) {
	for f.offset < f.size && f.budget.left() {
		n, _ := f.file.ReadAt(f.buf[:min(int64(len(f.buf)), f.size-f.offset)], f.offset)
		passed := f.passLines(f.buf[:n], last)
		f.offset += int64(passed)
		if passed == 0 {
			return
		}
	}
}

func (f *follower) passLines(text []byte, last bool) (passed int) {
	for f.budget.left() {
		n := f.lineLen(text[passed:], last)
		if n == 0 {
			break
		}
		f.budget.take(n)
		f.sayOmitted()
		f.say(f.tell.clean(text[passed : passed+n]))
		passed += n
	}
	return passed
}

// lineLen is the function lineLen, but for a piece that would end within a secret.
func (f *follower) lineLen(text []byte, last bool) int {
	n := lineLen(text, last)
	if n == 0 || text[n-1] == '\n' || f.tell.Secrets == nil || last && n == len(text) {
		return n
	}
	switch cut := f.tell.Secrets.Cut(text, n); {
	case cut > 0:
		return cut
	case !last && len(text) < secretMost:
		return 0 // its end is still to come
	}
	return n
}

// lineLen returns the length of the first line of text with its newline, or of
// a piece of it; 0 if its end is still to come.
func lineLen(text []byte, last bool) int {
	window := text[:min(len(text), MaxLine)]
	if i := bytes.IndexByte(window, '\n'); i >= 0 {
		return i + 1
	}
	switch {
	case len(text) < MaxLine && last:
		return len(text)
	case len(text) < MaxLine:
		return 0
	}
	for i := MaxLine - 1; i > MaxLine-utf8.UTFMax; i-- {
		if utf8.RuneStart(window[i]) {
			if !utf8.FullRune(window[i:]) {
				return i
			}
			break
		}
	}
	return MaxLine
}

func (f *follower) sayOmitted() {
	if f.unsaid > 0 {
		f.say(fmt.Sprintf("[%d bytes of output are left out here; the script's log has them]", f.unsaid))
		f.unsaid = 0
	}
}

func (f *follower) say(line string) {
	if f.tell.Line != nil && line != "" {
		f.tell.Line(line)
	}
}

// budget is a token bucket of lines and bytes. A line may overdraw the bytes.
type budget struct {
	lines, bytes float64
	filled       time.Time
}

func (b *budget) fill(now time.Time) {
	passed := now.Sub(b.filled).Seconds()
	b.lines = min(lineBurst, b.lines+passed*lineRate)
	b.bytes = min(byteBurst, b.bytes+passed*byteRate)
	b.filled = now
}

func (b *budget) left() bool { return b.lines >= 1 && b.bytes > 0 }

func (b *budget) take(bytes int) {
	b.lines--
	b.bytes -= float64(bytes)
}
