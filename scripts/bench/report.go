package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report is everything that was measured.
type report struct {
	fast, slow string // filesystems
	rounds     int
	began      time.Time
	start      *scene // of the programs; nil: not chosen
	scenes     []*scene
	sizes      []*sealed // the payloads
	own        int64     // the bench's own peak memory, in bytes
}

// scene returns the named one, nil where it was not chosen.
func (r *report) scene(name string) *scene {
	for _, sc := range r.scenes {
		if sc.name == name {
			return sc
		}
	}
	return nil
}

// markdown is the part of docs/performance.md that each run writes anew.
func (r *report) markdown() string {
	var w strings.Builder
	r.machine(&w)
	r.phases(&w)
	r.wholes(&w)
	r.memory(&w)
	r.promises(&w)
	return w.String()
}

func (r *report) machine(w *strings.Builder) {
	fmt.Fprintf(w, "Measured %s on %s/%s, %d × %s, Linux %s; scratch on %s, disk %s; load at the end %s; %d rounds, or twice that.\n",
		r.began.UTC().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor(), firstField("/proc/sys/kernel/osrelease"), r.fast, r.slow, firstField("/proc/loadavg"), r.rounds)
}

// phases are the scenes that end with the unpacked folder.
func (r *report) phases(w *strings.Builder) {
	names := []string{recipe, recipeGzip, recipeZstd, stockAge, floor}
	var rows, busy []string
	for _, sc := range r.scenes {
		if sc.whole || sc.name == "memory" {
			continue
		}
		row2 := fmt.Sprintf("| %s, %s | **%s** |", sc.payload.title, linkTitle(sc.link), short(sc.busy(ours)))
		for _, name := range names[:4] {
			row2 += fmt.Sprintf(" %s · %.2f× |", short(sc.busy(name)), sc.busy(name).Seconds()/sc.busy(ours).Seconds())
		}
		busy = append(busy, row2)
		row := fmt.Sprintf("| %s, %s | **%s** | %s |", sc.payload.title, linkTitle(sc.link), seconds(sc.took(ours)), short(sc.process()))
		for _, name := range names {
			row += fmt.Sprintf(" %s · %.2f× |", short(sc.took(name).median), sc.times(name))
		}
		rows = append(rows, row)
	}
	table(w, "From the URL to the folder on "+r.fast+", in seconds", "payload, link | agent | its process | "+strings.Join(names, " | "), rows)
	table(w, "Processor time for the same, in seconds, the agent's whole process", "payload, link | agent | "+strings.Join(names[:4], " | "), busy)
}

func (r *report) wholes(w *strings.Builder) {
	var rows []string
	for _, sc := range r.scenes {
		if sc.whole {
			rows = append(rows, fmt.Sprintf("| %s, %s | **%s** | %s | %.2f× |", sc.payload.title, sc.on.fs, seconds(sc.took(ours)), seconds(sc.took(recipe)), sc.times(recipe)))
		}
	}
	table(w, "Whole runs, modules included, in seconds", "payload, filesystem | agent | recipe | ratio", rows)
	if r.start != nil {
		millis := func(name string) string { return fmt.Sprintf("%.2f ms", r.start.took(name).median.Seconds()*1e3) }
		table(w, "Start of a program that prints a line", "agent version | bare Go | ratio",
			[]string{fmt.Sprintf("| **%s** | %s | %.2f× |", millis(ours), millis(floor), 1/r.start.times(floor))})
	}
}

func (r *report) memory(w *strings.Builder) {
	var rows []string
	for _, s := range r.sizes {
		var peak int64
		for _, sc := range r.scenes {
			if sc.payload.name == s.name {
				peak = max(peak, sc.peak())
			}
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | **%.1f MiB** |", s.title, megabytes(s.bytes), megabytes(s.size), float64(peak)/(1<<20)))
	}
	table(w, "Peak memory of the agent, the most in any run", "payload | files | bundle | peak resident", rows)
	if len(rows) > 0 {
		fmt.Fprintf(w, "\nNo program started here could show less than %.1f MiB, the bench's own peak.\n", float64(r.own)/(1<<20))
	}
}

func table(w *strings.Builder, title, head string, rows []string) {
	if len(rows) == 0 {
		return
	}
	columns := strings.Count(head, "|") + 1
	fmt.Fprintf(w, "\n### %s\n\n| %s |\n|---|%s\n%s\n", title, head, strings.Repeat("--:|", columns-1), strings.Join(rows, "\n"))
}

func linkTitle(link string) string {
	if link == linkSlow {
		return "80 MB/s each"
	}
	return "loopback"
}

// seconds is a median and between which values half of the runs lie.
func seconds(s spread) string {
	return fmt.Sprintf("%s (%s–%s)", short(s.median), short(s.q1), short(s.q3))
}

func short(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// ownPeak returns the peak resident memory of this process, in bytes. A child
// shares it for a moment before its own program starts, and the kernel counts
// that: getrusage(2) of the child shows at least this.
func ownPeak() int64 { return 1 << 10 * int64(fieldOf("/proc/self/status", "VmHWM:")) }

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}

func firstField(file string) string {
	text, err := os.ReadFile(file)
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 0 {
		return fields[0]
	}
	return "unknown"
}

// fieldOf returns the number after name in a file of lines, 0 if there is none.
func fieldOf(file, name string) (n int) {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	return n
}
