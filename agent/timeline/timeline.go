// Package timeline tells where the time of a run went: it reads the log, and
// draws it for a terminal or as SVG.
package timeline

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"

	"startup-bundle/agent/journal"
	"startup-bundle/internal/module"
)

// Kind says what a span is of.
type Kind string

// The kinds of spans.
const (
	Boot    Kind = "boot"    // of the machine, before the agent
	Phase   Kind = "phase"   // of the run
	Part    Kind = "part"    // of a phase: parts overlap
	Attempt Kind = "attempt" // of a module
)

// Span is one bar.
type Span struct {
	Kind   Kind
	Name   string
	From   time.Duration // from the agent's start; negative before it
	To     time.Duration
	Note   string          // what there is to say beside its length
	Failed bool            //
	Retry  bool            // of an attempt: it asked to be run again, or for a reboot
	Open   bool            // its end is not in the log: it goes on, or was cut off
	Marks  []time.Duration // retries within it, those that the log has
	Tries  int             // how often it was tried in all, where the log says so
}

// Timeline is a run.
type Timeline struct {
	Started  time.Time
	Bundle   string // its name; empty before there is one
	Result   string // succeeded, failed, interrupted, idle, rebooting, running (see GoesOn); empty: the log has no end
	ExitCode string
	Took     time.Duration // of the run, as its last line says; 0: it has none
	End      time.Duration // of the last entry, from the agent's start; or now, see GoesOn
	Spans    []Span        // by their beginning

	uptime time.Duration // of the machine when the agent started; 0: the log does not say
}

// longBoot is the age of a machine above which an agent's start is not part of
// its boot: somebody started it by hand.
const longBoot = 15 * time.Minute

// maxTries is the most that is believed of a log.
const maxTries = 1e6

// Read reads the lines of one run. Output is passed over.
func Read(r io.Reader) (*Timeline, error) {
	b := &builder{open: map[string]int{}}
	output := []byte(`"` + journal.KeyMessage + `":"` + journal.MessageOutput + `"`)
	var lines journal.Lines
	err := lines.Each(r, true, func(line []byte) error {
		if bytes.Contains(line, output) {
			return nil
		}
		if e, ok := journal.ParseEvent(line); ok {
			b.add(e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.t.Started.IsZero() {
		return nil, journal.ErrNoLog
	}
	return b.end(), nil
}

// builder makes a timeline from the entries of a log, one after the other.
type builder struct {
	t    Timeline
	open map[string]int // spans that have not ended, by what ends them
	last time.Time      // of the entry before
}

// maxStep is the longest time between two entries that is believed of a log without
// uptimes: a clock that is set moves by more, or backwards.
const maxStep = 24 * time.Hour

// clock returns when an entry was written, from the agent's start. The lines have the
// kernel's uptime, which nobody can set. Older logs have only the time of day in most
// lines, and durations in some.
func (b *builder) clock(e journal.Event) time.Duration {
	step := e.Time.Sub(b.last)
	b.last = e.Time
	if up := uptime(e); up > 0 && b.t.uptime > 0 {
		return max(b.t.End, up-b.t.uptime)
	}
	if step < 0 || step > maxStep {
		step = 0
	}
	now := b.t.End + step
	for _, ended := range []struct{ message, key string }{{journal.MessagePhaseEnded, e.Phase}, {journal.MessageModuleEnded, "module " + e.Module}} {
		if i, ok := b.open[ended.key]; ok && e.Message == ended.message {
			now = max(now, b.t.Spans[i].From+duration(e))
		}
	}
	return now
}

func uptime(e journal.Event) time.Duration { return seconds(e.Number(journal.KeyUptime)) }

func duration(e journal.Event) time.Duration { return seconds(e.Number("duration")) }

// seconds believes no more of a log than ten years, and nothing negative.
func seconds(n float64) time.Duration {
	const most = 10 * 365 * 24 * 3600
	if !(n > 0) { // also if it is not a number
		return 0
	}
	return time.Duration(min(n, most) * float64(time.Second))
}

func (b *builder) add(e journal.Event) {
	if b.t.Started.IsZero() {
		b.t.Started, b.last, b.t.uptime = e.Time, e.Time, uptime(e)
		b.boot(e)
	}
	now := b.clock(e)
	b.t.End = now
	switch e.Message {
	case journal.MessagePhaseStarted:
		b.begin(e.Phase, Span{Kind: Phase, Name: e.Phase, From: now})
	case journal.MessagePhaseEnded:
		b.finish(e.Phase, now, "", false)
	case journal.MessageModuleStarted:
		name := e.Module
		if n := e.Text("attempt"); n != "1" && n != "" {
			name += " #" + n
		}
		b.begin("module "+e.Module, Span{Kind: Attempt, Name: name, From: now})
	case journal.MessageModuleEnded:
		state := e.Text("state")
		note := ""
		if state != "succeeded" {
			note = state
		}
		if code := e.Text("exit_code"); state == "failed" && code != "" && code != "-1" {
			note += ", exit " + code
		}
		switch code := e.Text("exit_code"); {
		case state == "pending" && code == strconv.Itoa(module.ExitRetry):
			note = "asked for a retry"
		case state == "pending" && code == strconv.Itoa(module.ExitReboot):
			note = "asked for a reboot"
		}
		if e.Text("check") == "failed" {
			note = "check failed"
			if code := e.Text("check_exit_code"); code != "" {
				note += ", exit " + code
			}
		}
		b.retry("module "+e.Module, state == "pending")
		b.finish("module "+e.Module, now, note, state == "failed")
	case journal.MessageSucceeded, journal.MessageFailed, journal.MessageInterrupted, journal.MessageEnded, journal.MessageRebooting:
		b.result(e, now)
	default:
		b.part(e, now)
	}
}

// boot adds what the machine did before the agent.
func (b *builder) boot(e journal.Event) {
	up := uptime(e)
	if up > 0 && up <= longBoot {
		b.t.Spans = append(b.t.Spans, Span{Kind: Boot, Name: "boot", From: -up, Note: "kernel, userspace"})
	}
}

// part adds what happens within a phase.
func (b *builder) part(e journal.Event, now time.Duration) {
	took := duration(e)
	switch e.Message {
	case "waiting for instance metadata", "no credentials (no instance role) yet, waiting for instance metadata":
		b.begin("metadata", Span{Kind: Part, Name: "metadata", From: now})
	case "instance metadata answered":
		b.finish("metadata", now, "attempt "+e.Text("attempt"), false)
	case "fetching":
		b.tried(e, 0)
		b.begin("fetch", Span{Kind: Part, Name: "fetch", From: now})
	case "fetched":
		b.finish("fetch", now, amount(e, took), false)
	case "bundle unpacked":
		b.t.Bundle = e.Text("bundle")
		from := max(0, now-took)
		if f, ok := b.spanOf("fetch"); ok {
			from = f.From
		}
		b.t.Spans = append(b.t.Spans, Span{Kind: Part, Name: "unpack", From: from, To: now, Note: e.Text("modules") + " modules"})
	case "not fetched":
		b.tried(e, 0)
	case "mirror does not serve, going on":
		b.tried(e, 1)
		b.mark(e.Phase, now)
	case "request will be repeated", "call will be repeated", "starting the bundle over", "still waiting for instance metadata":
		b.mark(e.Phase, now)
	}
}

// amount says how much came, and how fast.
func amount(e journal.Event, took time.Duration) string {
	bytes := e.Number("bytes")
	text := journal.Bytes(int64(bytes))
	if took >= time.Millisecond {
		text += ", " + journal.Bytes(int64(bytes/took.Seconds())) + "/s"
	}
	return text
}

func (b *builder) begin(key string, s Span) {
	b.open[key] = len(b.t.Spans)
	b.t.Spans = append(b.t.Spans, s)
}

func (b *builder) finish(key string, now time.Duration, note string, failed bool) {
	i, ok := b.open[key]
	if !ok {
		return
	}
	delete(b.open, key)
	s := &b.t.Spans[i]
	s.To, s.Note, s.Failed = now, note, failed
}

// retry notes that an open span ends with the wish for another attempt.
func (b *builder) retry(key string, asked bool) {
	if i, ok := b.open[key]; ok {
		b.t.Spans[i].Retry = asked
	}
}

// spanOf returns the last span of that name.
func (b *builder) spanOf(name string) (Span, bool) {
	for i := len(b.t.Spans) - 1; i >= 0; i-- {
		if b.t.Spans[i].Name == name {
			return b.t.Spans[i], true
		}
	}
	return Span{}, false
}

// mark notes a retry in the phase's innermost open span.
func (b *builder) mark(phase string, now time.Duration) {
	for _, key := range []string{"fetch", "metadata", phase} {
		if i, ok := b.open[key]; ok {
			b.t.Spans[i].Marks = append(b.t.Spans[i].Marks, now)
			return
		}
	}
}

// tried notes the number of tries in the phase's span: the log has a line of its
// own for some of them only. More are to follow for sure.
func (b *builder) tried(e journal.Event, more int) {
	if i, ok := b.open[e.Phase]; ok {
		s := &b.t.Spans[i]
		s.Tries = max(s.Tries, int(min(e.Number("attempt"), maxTries))+more)
	}
}

func (b *builder) result(e journal.Event, now time.Duration) {
	b.t.ExitCode, b.t.Took = e.Text("exit_code"), duration(e)
	if name := e.Text("bundle"); name != "" {
		b.t.Bundle = name
	}
	switch e.Message {
	case journal.MessageSucceeded:
		b.t.Result = "succeeded"
	case journal.MessageFailed:
		b.t.Result = "failed"
	case journal.MessageInterrupted:
		b.t.Result = "interrupted"
	case journal.MessageRebooting:
		b.t.Result = "rebooting"
	default:
		b.t.Result = "idle"
	}
	for key := range b.open { // a phase that failed has no end of its own
		b.finish(key, now, "", b.t.Result == "failed")
	}
}

// end closes what the log does not.
func (b *builder) end() *Timeline {
	for _, i := range b.open {
		b.t.Spans[i].To, b.t.Spans[i].Open = b.t.End, true
	}
	for i := range b.t.Spans {
		if n := max(len(b.t.Spans[i].Marks), b.t.Spans[i].Tries-1); n > 0 {
			b.t.Spans[i].Note = join(b.t.Spans[i].Note, plural(n, "retry", "retries"))
		}
	}
	return &b.t
}

// GoesOn is for a run whose agent is alive now: what has no end in the log lasts
// until now. Nothing comes into the log while something hangs or waits. A run that
// has ended is left as it is. uptime is the machine's: see [journal.Uptime].
func (t *Timeline) GoesOn(now time.Time, uptime time.Duration) {
	if t.Result != "" {
		return
	}
	passed := now.Sub(t.Started)
	if t.uptime > 0 && uptime >= t.uptime {
		passed = uptime - t.uptime
	}
	t.Result, t.End = "running", max(t.End, passed)
	for i := range t.Spans {
		if t.Spans[i].Open {
			t.Spans[i].To = t.End
		}
	}
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Title says what run it is.
func (t *Timeline) Title() string {
	what := t.Bundle
	if what == "" {
		what = "run"
	}
	switch t.Result {
	case "":
		what += ": not ended"
	case "idle":
		what = "nothing to do"
	default:
		what += ": " + t.Result
	}
	if t.Took > 0 { // hooks come after the run
		return what + ", " + journal.Seconds(t.Took)
	}
	return what + ", " + journal.Seconds(t.End)
}

// begin is where the chart begins.
func (t *Timeline) begin() time.Duration {
	if len(t.Spans) > 0 {
		return min(0, t.Spans[0].From)
	}
	return 0
}

// length of a span.
func (s Span) length() time.Duration { return max(0, s.To-s.From) }

// text is what stands beside a bar.
func (s Span) text() string {
	text := journal.Seconds(s.length())
	if s.Open {
		text += "…"
	}
	return join(text, s.Note)
}
