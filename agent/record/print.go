package record

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Print writes the run for people, in lines of at most 80 columns where its
// texts allow.
func (r *Run) Print(w io.Writer) error {
	fmt.Fprintln(w, r.headline())
	if r.Bundle != nil {
		fmt.Fprintf(w, "bundle    %s (sha256 %.12s…) from %s\n", r.Bundle.Name, r.Bundle.SHA256, r.Bundle.URL)
	}
	if len(r.Modules) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "MODULE\tSTATE\tTIME\tATTEMPTS\tEXIT")
	for _, m := range r.Modules {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.State, m.duration(), m.attempts(), m.exit())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range r.Modules {
		if m.State != Failed {
			continue
		}
		fmt.Fprintf(w, "\n%s failed: %s\n", m.Name, m.Reason)
		for _, line := range m.Tail {
			fmt.Fprintf(w, "  | %s\n", line)
		}
	}
	return nil
}

func (r *Run) headline() string {
	var b strings.Builder
	b.WriteString(string(r.State))
	switch r.State {
	case Running:
		fmt.Fprintf(&b, ": phase %s, since %s", r.Phase, r.StartedAt.UTC().Format(time.RFC3339))
	case Idle:
		b.WriteString(": nothing to do: " + r.Reason)
	case Failed, Interrupted:
		fmt.Fprintf(&b, " in phase %s, exit code %d\n%s", r.Phase, r.ExitCode, r.Error)
	case Succeeded:
		if r.EndedAt != nil {
			fmt.Fprintf(&b, " in %s, at %s", seconds(r.EndedAt.Sub(r.StartedAt).Seconds()), r.EndedAt.UTC().Format(time.RFC3339))
		}
	case Pending, Skipped:
	}
	return b.String()
}

func (m Module) duration() string {
	if m.EndedAt == nil {
		return "-"
	}
	return seconds(m.Seconds)
}

func (m Module) attempts() string {
	if m.Attempts == 0 {
		return "-"
	}
	return strconv.Itoa(m.Attempts)
}

func (m Module) exit() string {
	switch {
	case m.Signal != "":
		return m.Signal
	case m.ExitCode != nil:
		return strconv.Itoa(*m.ExitCode)
	}
	return "-"
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 2, 64) + "s" }
