// Package screen is what status shows: one screen that tells what became of the last
// run and what to do about it.
package screen

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/internal/terminal"
)

// Width is how wide a screen is, in columns, unless its Style says otherwise.
const Width = 80

// minWidth is the least that a screen is made for.
const minWidth = 48

// Style is how a screen is written. The zero value is for a file or a pipe: sentences are
// Width columns wide, and what a module printed stays on lines of its own, however
// long they are.
type Style struct {
	Width int  // columns of the terminal; nothing but a command that is to be copied, and a table of long names, is wider
	Color bool // with ANSI escapes
}

const (
	died     = "the agent was killed, or the machine went down"
	label    = 10 // columns of a fact's name
	stamp    = "2006-01-02 15:04:05 UTC"
	manyRows = 12 // above it, the modules that need no look are counted only
)

// Print writes the screen. It is safe to show on a terminal.
func (v *View) Print(w io.Writer, style Style) error {
	p := &page{Style: style}
	p.painted(v.color(), "", v.headline())
	if v.Run != nil {
		v.facts(p)
	}
	if v.Unread != nil && !v.Public && (v.Run == nil || v.Code() != agent.CodeRecord) { // else it is the run's own error
		p.fact("record", v.Unread.Error())
	}
	if v.Run != nil {
		v.modules(p)
		v.failures(p)
		for _, h := range v.Run.Hooks {
			p.line("")
			p.wrapped("", "hook "+h.Path+" did not do its work: "+h.Reason)
		}
	}
	if v.Before != nil {
		before := View{Run: v.Before, Now: v.Now}
		p.line("")
		p.wrapped("", "the start before it, "+v.Before.StartedAt.UTC().Format(stamp)+", left:")
		before.modules(p)
	}
	v.steps(p)
	_, err := io.WriteString(w, p.String())
	return err
}

// Line is the screen in one line, for who follows a run without a terminal.
func (v *View) Line() string {
	if v.Run == nil || v.Run.State == record.Idle {
		return v.headline()
	}
	return strings.TrimSuffix(strings.TrimSuffix(v.headline(), v.elapsed()), " for ")
}

func (v *View) headline() string {
	r := v.Run
	switch {
	case r == nil && v.Unread != nil && v.Public:
		return "what is recorded here is only for root to read"
	case r == nil && v.Unread != nil:
		return fmt.Sprintf("the record cannot be read, exit code %d", v.Code())
	case r == nil:
		return "nothing is recorded: the agent has not started here yet"
	case v.Died():
		return fmt.Sprintf("cut off %s: %s", v.where(), died)
	}
	switch r.State {
	case record.Running:
		return fmt.Sprintf("running: %s for %s", v.where(), v.elapsed())
	case record.Idle:
		return "nothing to do: " + r.Reason
	case record.Succeeded:
		return "succeeded, exit code 0"
	case record.Interrupted:
		return fmt.Sprintf("interrupted %s, exit code %d", v.where(), r.ExitCode)
	}
	return fmt.Sprintf("failed %s, exit code %d: %s", v.where(), r.ExitCode, meaning(v.Code()))
}

// where says in which phase, and with which module, a run is or was.
func (v *View) where() string {
	if m := v.current(); m != nil && v.Run.Phase == agent.PhaseModules {
		return fmt.Sprintf("in module %s (%d of %d)", m.Name, v.Run.Index(m.Name)+1, len(v.Run.Modules))
	}
	for _, m := range v.Run.Modules {
		if m.State == record.Failed && v.Run.State == record.Failed && v.Code() == agent.CodeModule {
			return fmt.Sprintf("in module %s (%d of %d)", m.Name, v.Run.Index(m.Name)+1, len(v.Run.Modules))
		}
	}
	return "in phase " + v.Run.Phase
}

// elapsed is for how long the module, or else the run, has run.
func (v *View) elapsed() string {
	return journal.Seconds(v.passed())
}

func (v *View) passed() time.Duration {
	since := v.Run.StartedAt
	if m := v.current(); m != nil && m.StartedAt != nil {
		since = *m.StartedAt
	}
	return max(0, v.Now.Sub(since))
}

// silent is how long ago the last output came. The log's clock may have been set since
// then, but no output is older than what printed it.
func (v *View) silent() time.Duration { return min(max(0, v.Now.Sub(v.At)), v.passed()) }

func (v *View) facts(p *page) {
	r := v.Run
	when := "started " + r.StartedAt.UTC().Format(stamp)
	switch {
	case r.State == record.Running && !v.Died():
		when += ", " + journal.Seconds(max(0, v.Now.Sub(r.StartedAt))) + " ago"
	case r.State == record.Running && !v.At.IsZero():
		when += ", last heard of at " + v.At.UTC().Format(time.TimeOnly)
	case r.State == record.Idle:
		when = "looked at " + r.StartedAt.UTC().Format(stamp)
	case r.EndedAt != nil:
		when += ", took " + journal.Seconds(r.Took())
	}
	if r.Attempt > 1 {
		when += fmt.Sprintf(", attempt %d", r.Attempt)
	}
	p.fact("run", when)
	if r.InstanceID != "" {
		p.fact("instance", r.InstanceID)
	}
	if r.Bundle != nil {
		p.fact("bundle", fmt.Sprintf("%s, sha256 %.12s…, from %s", r.Bundle.Name, r.Bundle.SHA256, r.Bundle.URL))
	}
	if r.State == record.Running && !v.Died() && r.NextRetryAt != nil && r.NextRetryAt.After(v.Now) {
		p.fact("waiting", "the next try is in "+journal.Seconds(r.NextRetryAt.Sub(v.Now)))
	}
	if r.Error != "" && v.Code() != agent.CodeModule { // that is told module by module
		p.fact("error", r.Error)
	}
	if r.State == record.Running && v.Last != "" && len(v.Output) == 0 {
		p.fact("log", v.Last)
	}
}

func (v *View) modules(p *page) {
	r := v.Run
	if len(r.Modules) == 0 {
		return
	}
	wide := len("MODULE")
	for _, m := range r.Modules {
		wide = max(wide, utf8.RuneCountInString(m.Name))
	}
	row := func(color, name, state, time, attempts, exit string) {
		last := strings.TrimRight(fmt.Sprintf("  %6s  %8s  %s", time, attempts, exit), " ")
		p.WriteString(terminal.Safe(fmt.Sprintf("%-*s  ", wide, name)) + p.paint(color, fmt.Sprintf("%-12s", state)) + terminal.Safe(last) + "\n")
	}
	p.line("")
	row("", "MODULE", "STATE", "TIME", "ATTEMPTS", "EXIT")
	uncounted := map[record.State]int{}
	for _, m := range r.Modules {
		if len(r.Modules) > manyRows && (m.State == record.Succeeded || m.State == record.Skipped || m.State == record.Pending) {
			uncounted[m.State]++
			continue
		}
		row(colorOf(m.State), m.Name, v.state(m), v.duration(m), dash(m.Attempts), exit(m))
	}
	for _, state := range []record.State{record.Succeeded, record.Skipped, record.Pending} {
		if n := uncounted[state]; n > 0 {
			p.line(fmt.Sprintf("and %d %s", n, state))
		}
	}
}

func (v *View) state(m record.Module) string {
	if v.Died() && m.State == record.Running {
		return "cut off"
	}
	if m.CheckFailed() {
		return "check failed"
	}
	return string(m.State)
}

func (v *View) duration(m record.Module) string {
	switch {
	case m.EndedAt != nil:
		return journal.Seconds(m.Took())
	case m.State == record.Running && m.StartedAt != nil && !v.Died():
		return journal.Seconds(max(0, v.Now.Sub(*m.StartedAt)))
	}
	return "-"
}

func dash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func exit(m record.Module) string {
	switch {
	case m.CheckFailed() && m.CheckCode != nil:
		return strconv.Itoa(*m.CheckCode)
	case m.CheckFailed():
		return "-"
	case m.Signal != "":
		return m.Signal
	case m.ExitCode != nil:
		return strconv.Itoa(*m.ExitCode)
	}
	return "-"
}

// failures shows the last lines of each module that failed, or of the one that
// runs or was cut off.
func (v *View) failures(p *page) {
	for _, m := range v.Run.Modules {
		if m.State == record.Failed {
			p.line("")
			p.wrapped("", m.Name+" failed: "+m.Reason)
			if m.CheckFailed() && len(m.Tail) > 0 {
				p.line("  its check said:")
			}
			p.quoted(m.Tail[max(0, len(m.Tail)-outputLines):])
		}
	}
	m := v.current()
	if m == nil || len(v.Output) == 0 {
		return
	}
	p.line("")
	if v.Run.State == record.Running && !v.Died() {
		p.line("last output of " + m.Name + ", " + journal.Seconds(v.silent()) + " ago:")
		p.quoted(v.Output[max(0, len(v.Output)-3):])
		return
	}
	p.line("last output of " + m.Name + ":")
	p.quoted(v.Output)
}

// page is text in a style.
type page struct {
	strings.Builder
	Style
}

// width is how wide sentences are.
func (p *page) width() int {
	if p.Width == 0 {
		return Width
	}
	return max(p.Width, minWidth)
}

func (p *page) paint(color, text string) string {
	if !p.Color {
		color = ""
	}
	return terminal.Paint(color, text)
}

func (p *page) line(text string) { p.WriteString(terminal.Safe(text) + "\n") }

// wrapped writes text, its lines after the first indented.
func (p *page) wrapped(first, text string) { p.painted("", first, text) }

// painted is wrapped in a colour.
func (p *page) painted(color, first, text string) {
	for i, line := range journal.Wrap(terminal.Safe(text), p.width()-max(2, len(first))) {
		if i > 0 {
			first = strings.Repeat(" ", max(2, len(first)))
		}
		p.WriteString(first + p.paint(color, line) + "\n")
	}
}

func (p *page) fact(name, text string) { p.wrapped(fmt.Sprintf("%-*s", label, name), text) }

// quoted writes lines of output, whole. On a terminal, one that is too long goes on in
// the next line, further in.
func (p *page) quoted(lines []string) {
	const mark, more = "  | ", "  |   "
	for _, line := range lines {
		rest := terminal.Safe(strings.ReplaceAll(line, "\t", "    "))
		for prefix := mark; ; prefix = more {
			part := rest
			if p.Width > 0 {
				part = journal.Cut(rest, p.width()-len(prefix))
			}
			p.line(prefix + part)
			if rest = rest[len(part):]; rest == "" {
				break
			}
		}
	}
}

// colorOf returns the colour of a state.
func colorOf(state record.State) string {
	switch state {
	case record.Succeeded:
		return terminal.Green
	case record.Failed:
		return terminal.Red
	case record.Running:
		return terminal.Cyan
	case record.Interrupted:
		return terminal.Yellow
	case record.Pending, record.Skipped, record.Idle, record.None:
	}
	return ""
}

// color returns the colour of the headline.
func (v *View) color() string {
	switch {
	case v.Run == nil && v.Unread != nil && !v.Public:
		return terminal.Red
	case v.Run == nil:
		return ""
	case v.Died():
		return terminal.Yellow
	}
	return colorOf(v.Run.State)
}
