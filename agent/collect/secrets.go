package collect

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
	"startup-bundle/agent/userdata"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/document"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
)

// minValue is the shortest value of the userdata's env that is replaced, in bytes.
// Which of them are secrets nobody has said, and short ones are mostly settings.
const minValue = 8

// unknown says why output of an earlier bundle is not in an archive.
const unknown = "earlier output may hold secrets that are not known any more"

// secrets tells the redactor what is known: the secret options of the unpacked
// bundle, the values of the userdata's env, and the userdata's key and URLs. It
// returns for each module of the bundle where in its log that bundle's output begins:
// what stands before it, and other logs, were printed by modules whose secrets are
// not known any more.
func (a *archive) secrets(ctx context.Context, paths agent.Paths, ask ask) map[string]int64 {
	contents := a.options(ctx, paths)
	a.env(paths)
	run, err := record.Load(paths.Record())
	if err != nil {
		if !errors.Is(err, record.ErrNone) {
			a.failed("secrets", err)
		}
		return nil
	}
	a.userdata(ctx, run, ask)
	if contents == nil || run.Bundle == nil || !run.Bundle.Whole {
		return nil
	}
	known := map[string]int64{}
	for _, m := range contents.Manifest.Modules {
		if rec := run.Module(m.Name); rec != nil && rec.LogFrom != nil {
			known[m.Name] = *rec.LogFrom
		}
	}
	return known
}

// options adds the secret options of the unpacked bundle, and returns that; nil if
// there is none.
func (a *archive) options(ctx context.Context, paths agent.Paths) *bundle.Contents {
	contents, err := bundle.Load(ctx, paths.Bundle())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.failed("secret options", err)
		}
		return nil
	}
	for _, m := range contents.Manifest.Modules {
		for _, name := range m.Secret {
			a.scrub.Add(secret.New(m.Env[name]))
		}
	}
	return contents
}

// ask gets the userdata from instance metadata.
type ask = func(context.Context) ([]byte, error)

func (a *archive) env(paths agent.Paths) {
	text, err := files.Read(paths.Env(), agent.MaxEnv)
	var env map[string]string
	if err == nil {
		err = json.Unmarshal(text, &env)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.failed("values of env", err)
	}
	for _, value := range env {
		if len(value) >= minValue {
			a.scrub.Add(secret.New(value))
		}
	}
}

// userdata adds what the userdata of the run holds: a module can print it.
func (a *archive) userdata(ctx context.Context, run *record.Run, ask ask) {
	var raw []byte
	var err error
	switch {
	case run.Userdata != "":
		raw, err = end(run.Userdata, 0, document.MaxUserdata+1)
	case ask != nil:
		raw, err = ask(ctx)
	}
	if err != nil {
		a.failed("key of the userdata", err)
		return
	}
	u, err := userdata.Parse(raw)
	if err != nil || u.Document == nil {
		return
	}
	a.scrub.Add(u.Document.Key)
	for _, url := range u.Document.URLs {
		a.scrub.Add(secret.URLSecrets(url)...)
	}
	if path, ok := strings.CutPrefix(u.Document.KeyFrom, "file:"); ok {
		key, err := secret.ReadFile(path)
		a.failed("key of the userdata", err)
		a.scrub.Add(key)
	}
}

// moduleLogs adds the modules' own logs as far as their secrets are known.
func (a *archive) moduleLogs(paths agent.Paths, known map[string]int64) {
	logs, err := filepath.Glob(filepath.Join(paths.ModuleLogs(), "*.log"))
	a.failed("modules", err)
	for _, file := range logs[:min(len(logs), maxModules)] {
		base := filepath.Base(file)
		name := "modules/" + base
		if _, err := os.Lstat(journal.Older(file)); err == nil {
			a.leaveOut(journal.Older(name), journal.Older(file))
		}
		if err := regular(file); err != nil {
			a.failed(name, err)
			continue
		}
		from, ok := known[strings.TrimSuffix(base, ".log")]
		if !ok {
			a.leaveOut(name, file)
			continue
		}
		if size, err := journal.Size(file); err == nil && size < from {
			from = 0 // it was emptied since
		}
		text, err := end(file, from, maxModuleLog)
		if err != nil {
			a.failed(name, err)
			continue
		}
		if from > 0 {
			a.errors = append(a.errors, name+": only what the present bundle printed; "+unknown+": see "+file)
		}
		a.add(name, a.scrub.Bytes(text))
	}
}

func (a *archive) leaveOut(name, file string) {
	a.Left = append(a.Left, name)
	a.errors = append(a.errors, name+": left out; "+unknown+": see "+file)
}

// record redacts the text of a record, which may be damaged.
func (a *archive) record(text []byte) []byte {
	if !json.Valid(text) {
		return a.scrub.Bytes(text)
	}
	return a.scrub.JSON(text)
}

// view returns what status shows, without the secrets that are known now.
func (a *archive) view(r *record.Run) *record.Run {
	if r == nil {
		return nil
	}
	var clean record.Run
	text, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(a.scrub.JSON(text), &clean)
	}
	if err != nil {
		a.failed("status", err)
		return nil
	}
	return &clean
}
