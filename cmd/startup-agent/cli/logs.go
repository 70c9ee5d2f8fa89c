package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/runner"
	"startup-bundle/agent/screen"
	"startup-bundle/internal/cmdline"
	"startup-bundle/internal/terminal"
)

// followEvery is how often a log that is followed is read.
const followEvery = 200 * time.Millisecond

// logsOptions are the flags of logs.
type logsOptions struct {
	module                          string
	follow, asJSON, sinceBoot, list bool
	lines                           int // -1: all
}

func (p *program) logsCommand() *cobra.Command {
	o := logsOptions{lines: -1}
	c := &cobra.Command{
		Use:               "logs [MODULE]",
		ValidArgsFunction: p.completeModule,
		Short:             "Show the log of the last run, or what a module printed",
		Long: `Logs shows the log of the last run; with a module's name, all that it printed in
the last run, made safe for a terminal. It reads files, so it works on the disk
of another machine too: --root /mnt.

Its exit code is 0, or 4 when there is no log.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.module = args[0]
				if !isModule(o.module) {
					return cmdline.Misuse(c, "%q is not a module's name", o.module)
				}
			}
			// Each printer below makes its lines safe; the writer's pass over them would
			// take away the colours.
			out := bufio.NewWriterSize(p.stdout.Raw(), 64<<10)
			err := p.logs(c.Context(), o, out)
			err = errors.Join(err, out.Flush())
			if errors.Is(err, journal.ErrNoLog) {
				return p.failed(agent.CodeNoRecord, err)
			}
			if err != nil {
				return p.failed(agent.CodeOther, err)
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the run has ended")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print the log's own lines, one JSON object each")
	c.Flags().BoolVar(&o.sinceBoot, "since-boot", false, "show all runs in the boot of the last")
	c.Flags().BoolVar(&o.list, "list", false, "list the modules that have a log")
	c.Flags().IntVarP(&o.lines, "lines", "n", -1, "show only the last `N` lines")
	c.MarkFlagsMutuallyExclusive("list", "json")
	c.MarkFlagsMutuallyExclusive("list", "follow")
	return c
}

// isModule reports whether a module can have that name: that of one folder, because
// a bundle made by hand has whatever names its folders have.
func isModule(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// isOf reports whether a line of the log is about the module.
func isOf(line []byte, module string) bool {
	if !bytes.Contains(line, []byte(`"`+journal.KeyModule+`":`)) {
		return false
	}
	e, ok := journal.ParseEvent(line)
	return ok && e.Module == module
}

func (p *program) logs(ctx context.Context, o logsOptions, out *bufio.Writer) error {
	if o.list {
		return p.listLogs(out)
	}
	r, err := p.openLog(ctx, o)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.lines >= 0 {
		if err := r.Last(o.lines); err != nil {
			return err
		}
	}
	return p.show(ctx, o, r, p.printer(o, out), out)
}

// openLog opens what is to be shown, at its beginning. A log that is followed is
// waited for.
func (p *program) openLog(ctx context.Context, o logsOptions) (*journal.Reader, error) {
	paths := agent.Paths{Root: p.root}
	extent := journal.LastRun
	if o.sinceBoot {
		extent = journal.SinceBoot
	}
	if o.module == "" || o.asJSON {
		return journal.OpenReader(paths.Log(), extent)
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		offset, err := journal.ModuleStart(paths.Log(), o.module, extent)
		if err != nil && !errors.Is(err, journal.ErrNoLog) {
			return nil, err
		}
		r, err := journal.OpenRaw(paths.ModuleLog(o.module), offset)
		switch {
		case !errors.Is(err, journal.ErrNoLog):
			return r, err
		case !o.follow || !p.goesOn(o):
			return nil, fmt.Errorf("module %s: %w: startup-agent logs --list shows which there are", o.module, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// printer returns what writes one line of the log.
func (p *program) printer(o logsOptions, out *bufio.Writer) func(line []byte) error {
	if o.asJSON {
		return func(line []byte) error {
			if o.module != "" && !isOf(line, o.module) {
				return nil
			}
			_, _ = out.Write(terminal.JSON(line))
			return out.WriteByte('\n')
		}
	}
	var text []byte
	if o.module != "" {
		return func(line []byte) error {
			if !terminal.Printable(line) {
				line = []byte(runner.Clean(line))
			}
			_, _ = out.Write(line)
			return out.WriteByte('\n')
		}
	}
	render := journal.Printer{Color: colored(p.stdout), Dates: o.sinceBoot}
	return func(line []byte) error {
		text = append(render.Append(text[:0], line), '\n')
		_, err := out.Write(text)
		return err
	}
}

// show prints what r has and, where the log is followed, what comes.
func (p *program) show(ctx context.Context, o logsOptions, r io.Reader, write func([]byte) error, out *bufio.Writer) error {
	var lines journal.Lines
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		// Asked before reading: what comes after the answer is read in the next round.
		on := o.follow && p.goesOn(o)
		if err := lines.Each(r, !on, write); err != nil || !on {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// goesOn reports whether what is followed may still grow: the run goes on and,
// for a module, has not got past it.
func (p *program) goesOn(o logsOptions) bool {
	v := screen.Look(p.root, time.Now())
	if !v.Alive || v.Run == nil || o.module == "" {
		return v.Alive
	}
	m := v.Run.Module(o.module)
	return m == nil && len(v.Run.Modules) == 0 || m != nil && (m.State == record.Pending || m.State == record.Running)
}

// place is where a module's log stands in the list: in running order, those of earlier
// bundles last.
func place(r *record.Run, log os.DirEntry) int {
	if r != nil {
		if i := r.Index(strings.TrimSuffix(log.Name(), ".log")); i >= 0 {
			return i
		}
	}
	return math.MaxInt
}

// listLogs lists the modules of the last run, in running order, and those that left a
// log before.
func (p *program) listLogs(out io.Writer) error {
	paths := agent.Paths{Root: p.root}
	v := screen.Look(p.root, time.Now())
	entries, err := os.ReadDir(paths.ModuleLogs())
	if errors.Is(err, os.ErrNotExist) {
		return journal.ErrNoLog
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(place(v.Run, a), place(v.Run, b)) })
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MODULE\tSTATE\tSIZE\tLAST WRITTEN")
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		info, err := e.Info()
		if !ok || err != nil {
			continue
		}
		state := "-"
		if v.Run != nil && v.Run.Module(name) != nil {
			state = string(v.Run.Module(name).State)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", terminal.Safe(name), state, journal.Bytes(info.Size()), info.ModTime().UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return t.Flush()
}
