// Package collect makes one archive of all that is known of the last run, to be
// attached to a bug report.
package collect

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/screen"
	"startup-bundle/agent/timeline"
)

// How much is taken, in bytes: the end of what is longer.
const (
	maxLog       = 8 << 20
	maxModuleLog = 1 << 20
	maxModules   = 100
	maxOther     = 1 << 20
)

// commandTime is what a command has to answer.
const commandTime = 10 * time.Second

// Folder is the top folder of the archive.
const Folder = "startup-agent-report"

// Options say of what to make an archive.
type Options struct {
	Root    string // --root
	Version string // of this program
	Now     time.Time

	// Userdata asks instance metadata for the userdata, to know its secrets; nil if
	// there is none to ask.
	Userdata func(context.Context) ([]byte, error)
}

// Contents are the names of what an archive has, and of what it has not.
type Contents struct {
	Files  []string
	Denied []string // what this user may not read
	Left   []string // what may hold secrets that are not known any more
}

// Write writes the archive, tar and gzip. All of it is redacted: see
// [journal.Redactor], which here knows the secrets of the bundle on the disk and of
// the userdata. These two are not in it. What cannot be read, and a module's log
// whose secrets are not known, is left out, and named in its errors.txt.
func Write(ctx context.Context, w io.Writer, o Options) (Contents, error) {
	zip := gzip.NewWriter(w)
	a := &archive{tar: tar.NewWriter(zip), scrub: journal.NewRedactor(), now: o.Now.UTC().Truncate(time.Second)}
	paths := agent.Paths{Root: o.Root}
	known := a.secrets(ctx, paths, o.Userdata)
	a.run(o)
	a.file("record.json", paths.Record(), maxOther, a.record)
	if _, err := os.Lstat(journal.Older(paths.Log())); err == nil { // the run may have begun in it
		a.file(journal.Older("agent.jsonl"), journal.Older(paths.Log()), maxLog, a.scrub.Log)
	}
	a.file("agent.jsonl", paths.Log(), maxLog, a.scrub.Log)
	a.moduleLogs(paths, known)
	a.system(ctx, paths)
	a.add("errors.txt", a.scrub.Bytes([]byte(strings.Join(a.errors, "\n")+"\n")))
	return a.Contents, errors.Join(a.err, a.tar.Close(), zip.Close())
}

type archive struct {
	Contents
	tar    *tar.Writer
	scrub  *journal.Redactor
	now    time.Time
	errors []string // what could not be read, or was left out
	err    error    // of writing
}

// add adds a file, whose text is redacted.
func (a *archive) add(name string, text []byte) {
	h := &tar.Header{Name: path.Join(Folder, name), Mode: 0o600, Size: int64(len(text)), ModTime: a.now, Format: tar.FormatPAX}
	if a.err = errors.Join(a.err, a.tar.WriteHeader(h)); a.err == nil {
		_, a.err = a.tar.Write(text)
	}
	a.Files = append(a.Files, name)
}

func (a *archive) failed(name string, err error) {
	if errors.Is(err, fs.ErrPermission) {
		a.Denied = append(a.Denied, name)
	}
	if err != nil {
		a.errors = append(a.errors, name+": "+err.Error())
	}
}

// file adds the end of a file, from a line's beginning where it is not whole, as
// redact leaves it. A link is not followed: a module could have put it there.
func (a *archive) file(name, file string, limit int64, redact func([]byte) []byte) {
	text, err := end(file, 0, limit)
	if err != nil {
		a.failed(name, err)
		return
	}
	a.add(name, redact(text))
}

func regular(file string) error {
	info, err := os.Lstat(file)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", file)
	}
	return err
}

// end reads a file from an offset on, and of that at most the last limit bytes.
func end(file string, begin, limit int64) ([]byte, error) {
	if err := regular(file); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(begin, info.Size()-limit)
	text, err := io.ReadAll(io.NewSectionReader(f, from, limit))
	if from > begin {
		_, text, _ = bytes.Cut(text, []byte{'\n'})
	}
	return text, err
}

// run adds what this program shows of the run.
func (a *archive) run(o Options) {
	a.add("version.txt", []byte("startup-agent "+o.Version+"\ncollected "+a.now.Format(time.RFC3339)+"\n"))
	v := screen.Look(o.Root, o.Now)
	v.Run, v.Before, v.Last = a.view(v.Run), a.view(v.Before), a.scrub.String(v.Last)
	for i, line := range v.Output {
		v.Output[i] = a.scrub.String(line)
	}
	forms := journal.NewScrubber() // the rest is this program's own words, which a secret may be one of
	var text bytes.Buffer
	a.failed("status.txt", v.Print(&text, screen.Style{}))
	a.add("status.txt", forms.Bytes(text.Bytes()))
	status, err := json.MarshalIndent(v.Result(), "", "  ")
	a.failed("status.json", err)
	a.add("status.json", append(a.scrub.JSON(status), '\n'))

	r, err := journal.OpenReader(agent.Paths{Root: o.Root}.Log(), journal.LastRun)
	if err != nil {
		a.failed("timeline.txt", err)
		return
	}
	defer r.Close()
	t, err := timeline.Read(r)
	if err != nil {
		a.failed("timeline.txt", err)
		return
	}
	if v.Alive {
		t.GoesOn(o.Now, journal.Uptime())
	}
	var chart, picture bytes.Buffer
	a.failed("timeline.txt", errors.Join(t.Text(&chart), t.SVG(&picture)))
	a.add("timeline.txt", forms.Bytes(chart.Bytes()))
	a.add("timeline.svg", forms.Bytes(picture.Bytes()))
}

// system adds what the machine says of itself. Another machine's disk says
// nothing of this one's units.
func (a *archive) system(ctx context.Context, paths agent.Paths) {
	a.file("system/os-release", filepath.Join(paths.Root, "usr/lib/os-release"), maxOther, a.scrub.Bytes)
	if filepath.Clean(paths.Root) != "/" {
		return
	}
	const unit = "startup-agent.service"
	commands := map[string][]string{
		"uname":    {"uname", "-a"},
		"df":       {"df", "-h"},
		"unit":     {"systemctl", "show", unit},
		"failed":   {"systemctl", "list-units", "--failed", "--no-pager"},
		"journal":  {"journalctl", "-u", unit, "-b", "-n", "5000", "--no-pager", "-o", "short-iso"},
		"cloud":    {"cloud-init", "status", "--long"},
		"blame":    {"systemd-analyze", "blame", "--no-pager"},
		"versions": {"systemctl", "--version"},
	}
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		a.command(ctx, "system/"+name+".txt", commands[name])
	}
}

func (a *archive) command(ctx context.Context, name string, command []string) {
	program, err := exec.LookPath(command[0])
	if err != nil {
		a.failed(name, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, program, command[1:]...)
	c.WaitDelay = time.Second
	out := &bounded{}
	c.Stdout, c.Stderr = out, out
	a.failed(name, c.Run())
	a.add(name, a.scrub.Bytes(out.Bytes()))
}

// bounded keeps the first maxOther bytes of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(text []byte) (int, error) {
	b.Buffer.Write(text[:min(len(text), max(0, maxOther-b.Len()))])
	return len(text), nil
}
