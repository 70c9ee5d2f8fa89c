package proving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The agent's files, as the design of its folders promises them.
const (
	recordPath = "/var/lib/startup-agent/record.json"
	logsPath   = "/var/log/startup-agent/modules"
)

// maxReboots bounds a module that never has enough.
const maxReboots = 6

// run is what the agent's record says that is of interest here.
type run struct {
	State     string `json:"state"`
	Error     string `json:"error"`
	Rebooting bool   `json:"rebooting"`
	Modules   []struct {
		Name    string  `json:"name"`
		State   string  `json:"state"`
		Reason  string  `json:"reason"`
		Seconds float64 `json:"seconds"`
	} `json:"modules"`
}

// prove runs the agent, checks, and runs it again, and fills in the result.
func prove(ctx context.Context, m *machine, o Options, result *Result) error {
	before, err := m.used()
	if err != nil {
		return err
	}
	first, said, err := m.agent(ctx, "run")
	if err != nil {
		return err
	}
	after, err := m.used()
	if err != nil {
		return err
	}
	if o.Timeline != "" {
		if err := m.drawTimeline(ctx, o.Timeline); err != nil {
			return err
		}
	}
	result.Disk = after - before
	for _, one := range first.Modules {
		result.Modules = append(result.Modules, Module{Name: one.Name, State: one.State, Start: one.Seconds})
		result.Start += one.Seconds
	}
	if first.State != "succeeded" {
		return m.blame(o, result, first, "the first run", said)
	}
	if err := m.check(ctx, result); err != nil {
		return err
	}
	offsets := m.logSizes(result.Modules)
	second, said, err := m.agent(ctx, "run", "--force")
	if err != nil {
		return err
	}
	if second.State != "succeeded" {
		return m.blame(o, result, second, "the second run", said)
	}
	for i, one := range second.Modules {
		mine := &result.Modules[i]
		mine.State, mine.Again = one.State, one.Seconds
		result.Again += one.Seconds
		if mine.Changes, err = m.changes(one.Name, offsets[one.Name]); err != nil {
			return err
		}
	}
	result.judge()
	if result.Result == Failed {
		m.printLogs(o, *result)
	}
	return nil
}

// judge settles the result of two runs that succeeded.
func (r *Result) judge() {
	r.Result = Skipped
	for _, m := range r.Modules {
		switch {
		case m.Check == "failed":
			r.Result, r.Reason = Failed, fmt.Sprintf("the check of %s failed", m.Name)
			return
		case m.Changes != nil && *m.Changes > 0:
			r.Result, r.Reason = Failed, fmt.Sprintf("started again, %s made %d changes: it must make none", m.Name, *m.Changes)
			return
		case m.State != "skipped":
			r.Result = Passed
		}
	}
}

// agent runs the agent to its end, over the reboots that modules ask for, and
// returns its record and what it said.
func (m *machine) agent(ctx context.Context, args ...string) (run, string, error) {
	for range maxReboots {
		out, err := m.agentCommand(ctx, args...).CombinedOutput()
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return run{}, "", context.Cause(ctx)
		case err != nil && !errors.As(err, &exit):
			return run{}, "", fmt.Errorf("run the agent: %w", err)
		}
		text, err := os.ReadFile(m.path(recordPath))
		if err != nil {
			return run{}, "", fmt.Errorf("the agent left no record: %w: %s", err, lastLines(string(out), 5))
		}
		var r run
		if err := json.Unmarshal(text, &r); err != nil {
			return run{}, "", fmt.Errorf("read the agent's record: %w", err)
		}
		if !r.Rebooting {
			return r, string(out), nil
		}
		if err := m.again(ctx); err != nil {
			return run{}, "", err
		}
		args = []string{"run"} // it goes on
	}
	return run{}, "", errors.New("the machine was rebooted again and again")
}

// check asks startup-agent check.
func (m *machine) check(ctx context.Context, result *Result) error {
	out, err := m.agentCommand(ctx, "check", "--json").Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run startup-agent check: %w", err)
	}
	var answer struct {
		Checks []struct {
			Module string `json:"module"`
			Result string `json:"result"`
		} `json:"checks"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return fmt.Errorf("read what startup-agent check says: %w", err)
	}
	for _, c := range answer.Checks {
		for i := range result.Modules {
			if result.Modules[i].Name == c.Module {
				result.Modules[i].Check = c.Result
			}
		}
	}
	return nil
}

func (m *machine) logPath(module string) string {
	return m.path(filepath.Join(logsPath, module+".log"))
}

func (m *machine) logSizes(modules []Module) map[string]int64 {
	sizes := map[string]int64{}
	for _, one := range modules {
		if info, err := os.Stat(m.logPath(one.Name)); err == nil {
			sizes[one.Name] = info.Size()
		}
	}
	return sizes
}

var changesForm = regexp.MustCompile(`(?m)^changes: (\d+)$`)

// changes sums what a module's scripts counted since its log had offset bytes;
// nil where they count nothing.
func (m *machine) changes(module string, offset int64) (*int, error) {
	text, err := os.ReadFile(m.logPath(module))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // it counts nothing
	}
	if err != nil {
		return nil, err
	}
	return countChanges(string(text[min(offset, int64(len(text))):])), nil
}

func countChanges(log string) *int {
	found := changesForm.FindAllStringSubmatch(log, -1)
	if found == nil {
		return nil
	}
	sum := 0
	for _, one := range found {
		n, err := strconv.Atoi(one[1])
		if err != nil {
			n = 1 // more than fits is not none
		}
		sum += n
	}
	return &sum
}

// blame makes a run that failed the result, and prints the logs.
func (m *machine) blame(o Options, result *Result, r run, which, said string) error {
	result.Result, result.Reason = Failed, which+" failed: "+r.Error
	for i, one := range r.Modules {
		if i < len(result.Modules) {
			result.Modules[i].State = one.State
		}
		if one.State == "failed" {
			result.Reason = fmt.Sprintf("%s failed: %s: %s", which, one.Name, one.Reason)
		}
	}
	if len(r.Modules) == 0 {
		fmt.Fprintln(o.Stderr, lastLines(said, 10))
	}
	m.printLogs(o, *result)
	return nil
}

// printLogs prints the end of the log of each module.
func (m *machine) printLogs(o Options, result Result) {
	for _, one := range result.Modules {
		text, err := os.ReadFile(m.logPath(one.Name))
		if err != nil {
			continue
		}
		fmt.Fprintf(o.Stderr, "---- log of %s on %s\n%s\n----\n", one.Name, result.Base, strings.ToValidUTF8(lastLines(string(text), 60), "?"))
	}
}

// used returns how many bytes the machine has written beside its base, without
// the package manager's lists and caches: these are of the first installation,
// whatever the module.
func (m *machine) used() (bytes int64, err error) {
	upper := filepath.Join(m.dir, "upper")
	passed := []string{filepath.Join(upper, "var/cache"), filepath.Join(upper, "var/lib/apt/lists")}
	err = filepath.WalkDir(upper, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since: the machine is running
		case err != nil:
			return err
		case slices.Contains(passed, path):
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes, err
}
