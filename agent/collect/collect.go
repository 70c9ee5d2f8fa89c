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
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"
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
}

// Write writes the archive, tar and gzip, and returns the names in it, and of what
// this user may not read. All of it
// is redacted: see [journal.Redactor], which here knows the bundle's secret options. The userdata and the bundle are not in it.
// What cannot be read is left out, and named in its errors.txt.
func Write(ctx context.Context, w io.Writer, o Options) (names, denied []string, err error) {
	zip := gzip.NewWriter(w)
	a := &archive{tar: tar.NewWriter(zip), scrub: journal.NewRedactor(), now: o.Now.UTC().Truncate(time.Second)}
	paths := agent.Paths{Root: o.Root}
	a.options(paths)
	a.run(o)
	a.file("record.json", paths.Record(), maxOther)
	a.log("agent.jsonl", paths.Log(), maxLog)
	logs, err := filepath.Glob(filepath.Join(paths.ModuleLogs(), "*.log"))
	a.failed("modules", err)
	for _, file := range logs[:min(len(logs), maxModules)] {
		a.log("modules/"+filepath.Base(file), file, maxModuleLog)
	}
	a.system(ctx, paths)
	a.add("errors.txt", []byte(strings.Join(a.errors, "\n")+"\n"))
	return a.names, a.denied, errors.Join(a.err, a.tar.Close(), zip.Close())
}

type archive struct {
	tar    *tar.Writer
	scrub  *journal.Redactor
	now    time.Time
	names  []string
	errors []string // what could not be read
	denied []string // and what of it only for lack of privilege
	err    error    // of writing
}

// add adds a file. It is redacted here and nowhere else.
func (a *archive) add(name string, text []byte) {
	text = a.scrub.Bytes(text)
	h := &tar.Header{Name: path.Join(Folder, name), Mode: 0o600, Size: int64(len(text)), ModTime: a.now, Format: tar.FormatPAX}
	if a.err = errors.Join(a.err, a.tar.WriteHeader(h)); a.err == nil {
		_, a.err = a.tar.Write(text)
	}
	a.names = append(a.names, name)
}

// options tells the redactor the secret options of the unpacked bundle: a
// module's own log has them where the module printed them.
func (a *archive) options(paths agent.Paths) {
	contents, err := bundle.Load(paths.Bundle())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.failed("secret options", err)
		}
		return
	}
	for _, m := range contents.Manifest.Modules {
		for _, name := range m.Secret {
			a.scrub.Add(secret.New(m.Env[name]))
		}
	}
}

func (a *archive) failed(name string, err error) {
	if errors.Is(err, fs.ErrPermission) {
		a.denied = append(a.denied, name)
	}
	if err != nil {
		a.errors = append(a.errors, name+": "+err.Error())
	}
}

// file adds the end of a file, from a line's beginning where it is not whole. A
// link is not followed: a module could have put it there.
func (a *archive) file(name, file string, limit int64) {
	text, err := end(file, limit)
	if err != nil {
		a.failed(name, err)
		return
	}
	a.add(name, text)
}

// log adds a log, and the older file beside it, if there is one: the run may have
// begun in that.
func (a *archive) log(name, file string, limit int64) {
	if _, err := os.Lstat(journal.Older(file)); err == nil {
		a.file(journal.Older(name), journal.Older(file), limit)
	}
	a.file(name, file, limit)
}

func end(file string, limit int64) ([]byte, error) {
	if info, err := os.Lstat(file); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
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
	from := max(0, info.Size()-limit)
	text, err := io.ReadAll(io.NewSectionReader(f, from, limit))
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte{'\n'})
	}
	return text, err
}

// run adds what this program shows of the run.
func (a *archive) run(o Options) {
	a.add("version.txt", []byte("startup-agent "+o.Version+"\ncollected "+a.now.Format(time.RFC3339)+"\n"))
	v := screen.Look(o.Root, o.Now)
	var text bytes.Buffer
	a.failed("status.txt", v.Print(&text))
	a.add("status.txt", text.Bytes())
	status, err := json.MarshalIndent(v.Result(), "", "  ")
	a.failed("status.json", err)
	a.add("status.json", append(status, '\n'))

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
		t.GoesOn(o.Now)
	}
	var chart, picture bytes.Buffer
	a.failed("timeline.txt", errors.Join(t.Text(&chart), t.SVG(&picture)))
	a.add("timeline.txt", chart.Bytes())
	a.add("timeline.svg", picture.Bytes())
}

// system adds what the machine says of itself. Another machine's disk says
// nothing of this one's units.
func (a *archive) system(ctx context.Context, paths agent.Paths) {
	a.file("system/os-release", filepath.Join(paths.Root, "usr/lib/os-release"), maxOther)
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
	a.add(name, out.Bytes())
}

// bounded keeps the first maxOther bytes of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(text []byte) (int, error) {
	b.Buffer.Write(text[:min(len(text), max(0, maxOther-b.Len()))])
	return len(text), nil
}
