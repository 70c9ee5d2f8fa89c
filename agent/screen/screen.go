// Package screen is what status shows: one screen of 80 columns that tells what
// became of the last run and what to do about it.
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

// Width is what a screen is made for, in columns. Only a command that is to be
// copied, and a table of modules with very long names, may be wider.
const Width = 80

const (
	died     = "the agent was killed, or the machine went down"
	label    = 10 // columns of a fact's name
	stamp    = "2006-01-02 15:04:05 UTC"
	manyRows = 12 // above it, the modules that need no look are counted only
)

// Print writes the screen.
func (v *View) Print(w io.Writer) error {
	p := &page{}
	p.wrapped("", v.headline())
	if v.Run != nil {
		v.facts(p)
	}
	if v.Unread != nil && !v.Public && (v.Run == nil || v.Code() != agent.CodeRecord) { // else it is the run's own error
		p.fact("record", v.Unread.Error())
	}
	if v.Run != nil {
		v.modules(p)
		v.failures(p)
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
		when += ", took " + journal.Seconds(max(0, r.EndedAt.Sub(r.StartedAt)))
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
	row := func(cells ...string) {
		p.line(strings.TrimRight(fmt.Sprintf("%-*s  %-11s  %6s  %8s  %s", wide, cells[0], cells[1], cells[2], cells[3], cells[4]), " "))
	}
	p.line("")
	row("MODULE", "STATE", "TIME", "ATTEMPTS", "EXIT")
	uncounted := map[record.State]int{}
	for _, m := range r.Modules {
		if len(r.Modules) > manyRows && (m.State == record.Succeeded || m.State == record.Skipped || m.State == record.Pending) {
			uncounted[m.State]++
			continue
		}
		row(m.Name, v.state(m), v.duration(m), dash(m.Attempts), exit(m))
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
	return string(m.State)
}

func (v *View) duration(m record.Module) string {
	switch {
	case m.EndedAt != nil:
		return journal.Seconds(time.Duration(m.Seconds * float64(time.Second)))
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

// page is text within Width columns.
type page struct{ strings.Builder }

func (p *page) line(text string) { p.WriteString(text + "\n") }

// wrapped writes text, its lines after the first indented.
func (p *page) wrapped(first, text string) {
	for i, line := range journal.Wrap(terminal.Safe(text), Width-max(2, len(first))) {
		if i == 0 {
			p.line(first + line)
		} else {
			p.line(strings.Repeat(" ", max(2, len(first))) + line)
		}
	}
}

func (p *page) fact(name, text string) { p.wrapped(fmt.Sprintf("%-*s", label, name), text) }

// quoted writes lines of output, each cut to the page.
func (p *page) quoted(lines []string) {
	const mark = "  | "
	for _, line := range lines {
		line = terminal.Safe(strings.ReplaceAll(line, "\t", "    "))
		if journal.Columns(line) > Width-len(mark) {
			line = journal.Cut(line, Width-len(mark)-1) + "…"
		}
		p.line(mark + line)
	}
}
