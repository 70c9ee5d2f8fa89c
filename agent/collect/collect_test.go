package collect_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/collect"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/record"
)

// collected returns what an archive of a folder with these files has.
func collected(t *testing.T, files map[string]string) (collect.Contents, map[string]string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "ROOT", root)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	got, err := collect.Write(t.Context(), &archive, collect.Options{Root: root, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(&archive)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		text, readErr := io.ReadAll(r)
		if err = errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimPrefix(h.Name, collect.Folder+"/")] = string(text)
	}
	if names := slices.Sorted(maps.Keys(texts)); !slices.Equal(names, slices.Sorted(slices.Values(got.Files))) {
		t.Errorf("the archive has %q, and says %q", names, got.Files)
	}
	return got, texts
}

const hidden = "Zebra-Secret-4711"

// machine returns the files of a machine with a bundle of module m, whose secret
// option is hidden, and its record.
func machine(record string) map[string]string {
	paths := agent.Paths{}
	return map[string]string{
		paths.Record(): record,
		paths.Bundle() + "/start-up-bundle/bundle.json": `{"format_version": 1, "name": "web", "modules": [{"name": "m", "env": {"OPT_P": "` + hidden + `"}, "secret": ["OPT_P"]}]}`,
		paths.Bundle() + "/start-up-bundle/m/start":     "#!/bin/sh\n",
		paths.Log():                 `{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"output","phase":"modules","module":"m","line":"x ` + hidden + `"}` + "\n",
		paths.ModuleLog("m"):        "former secret\npresent " + hidden + "\n",
		paths.ModuleLog("other"):    "other secret\n",
		paths.ModuleLog("m") + ".1": "rotated secret\n",
		paths.Log() + ".1":          "cut off " + hidden + "\n",
		"etc/elsewhere":             "",
	}
}

func recorded(bundle, module string) string {
	return `{"version": 1, "instance_id": "i-1", "state": "failed", "error": "` + hidden + `", "started_at": "2026-01-02T03:04:05Z", "bundle": ` + bundle +
		`, "modules": [{"name": "m", "state": "failed"` + module + `}]}`
}

// A module's log is taken as far as the secrets in it are known, and no further.
func TestLogsWhoseSecretsAreNotKnownStayOut(t *testing.T) {
	const whole = `{"name": "web", "whole": true}`
	for name, test := range map[string]struct {
		record string
		log    string // of m, as the archive has it; empty: it is left out
	}{
		"the bundle's part":             {recorded(whole, `, "log_from": 14`), "present [redacted]\n"},
		"all of it":                     {recorded(whole, `, "log_from": 0`), "former secret\npresent [redacted]\n"},
		"it was emptied since":          {recorded(whole, `, "log_from": 1000`), "former secret\npresent [redacted]\n"},
		"an older agent's record":       {recorded(whole, ""), ""},
		"the bundle is being replaced":  {recorded(`{"name": "web", "whole": false}`, `, "log_from": 0`), ""},
		"no bundle yet":                 {recorded("null", `, "log_from": 0`), ""},
		"a bundle that is not recorded": {`{"version": 1, "instance_id": "i-1", "state": "running", "started_at": "2026-01-02T03:04:05Z"}`, ""},
		"no record":                     {"", ""},
		"a record that cannot be read":  {`{"error": "` + hidden + `", ` + hidden, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := machine(test.record)
			if test.record == "" {
				delete(files, agent.Paths{}.Record())
			}
			got, texts := collected(t, files)
			want := []string{"modules/m.log.1", "modules/other.log"}
			if test.log == "" {
				want = append(want, "modules/m.log")
			}
			slices.Sort(want)
			if left := slices.Sorted(slices.Values(got.Left)); !slices.Equal(left, want) {
				t.Errorf("left out: %q, want %q", left, want)
			}
			for _, name := range got.Left {
				if _, there := texts[name]; there || !strings.Contains(texts["errors.txt"], name+": left out;") {
					t.Errorf("%s: there: %v; errors.txt:\n%s", name, there, texts["errors.txt"])
				}
			}
			if texts["modules/m.log"] != test.log {
				t.Errorf("m.log: %q, want %q", texts["modules/m.log"], test.log)
			}
			for name, text := range texts {
				if strings.Contains(text, hidden) || strings.Contains(text, "other secret") || strings.Contains(text, "rotated secret") {
					t.Errorf("%s: %s", name, text)
				}
			}
		})
	}
}

// A secret that is a word of the record or the log does not damage what it stands in.
func TestTheArchiveStaysWholeWhateverTheSecrets(t *testing.T) {
	for _, word := range []string{"failed", "state", "time", "2026", "output", "modules", "version", "log_from", "true", "info"} {
		files := machine(recorded(`{"name": "web", "whole": true}`, `, "log_from": 0, "reason": "it failed in state time"`))
		for name, text := range files {
			if strings.HasSuffix(name, "bundle.json") {
				text = strings.Replace(text, hidden, word, 1)
			}
			files[name] = strings.ReplaceAll(text, hidden, "harmless")
		}
		_, texts := collected(t, files)
		for _, name := range []string{"record.json", "status.json"} {
			var r record.Run
			if err := json.Unmarshal([]byte(texts[name]), &r); err != nil || r.State != record.Failed || r.StartedAt.Year() != 2026 || len(r.Modules) != 1 || r.Modules[0].Name != "m" {
				t.Errorf("%s: %s: %v, %+v", word, name, err, r)
			}
		}
		if e, ok := journal.ParseEvent([]byte(texts["agent.jsonl"])); !ok || e.Message != journal.MessageOutput || e.Module != "m" || e.Time.Year() != 2026 {
			t.Errorf("%s: %s", word, texts["agent.jsonl"])
		}
		if !strings.Contains(texts["status.txt"], "failed") || !strings.Contains(texts["status.txt"], "2026-01-02 03:04:05") {
			t.Errorf("%s: %s", word, texts["status.txt"])
		}
	}
}

// What the userdata and its env hold is replaced too: a module can print them.
func TestTheUserdatasSecretsAreReplaced(t *testing.T) {
	files := machine(strings.Replace(recorded(`{"name": "web", "whole": true}`, `, "log_from": 0`), `"version": 1`, `"version": 1, "userdata": "ROOT/ud"`, 1))
	files["ud"] = "#startup-bundle\nurl: https://u:urlpassword@b.example/w?X-Amz-Signature=querysecret\nkey: stirringdullroots\nenv: {A: b}\n"
	files[agent.Paths{}.Env()] = `{"TOKEN": "tokenvalue", "ROLE": "web"}`
	files[agent.Paths{}.ModuleLog("m")] = "key stirringdullroots url urlpassword querysecret env tokenvalue role web\n"
	_, texts := collected(t, files)
	const want = "key [redacted] url [redacted] [redacted] env [redacted] role web\n"
	if got := texts["modules/m.log"]; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAPrivateKeyInOutputIsReplaced(t *testing.T) {
	files := machine(recorded("null", ""))
	var log strings.Builder
	for _, line := range []string{"before", "-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA", "c2Vjb25k", "-----END RSA PRIVATE KEY-----", "after"} {
		log.WriteString(`{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"output","phase":"modules","module":"m","line":"` + line + `"}` + "\n")
	}
	files[agent.Paths{}.Log()] = log.String()
	_, texts := collected(t, files)
	got := texts["agent.jsonl"]
	if strings.Contains(got, "MIIE") || strings.Contains(got, "c2Vjb") || !strings.Contains(got, "before") || !strings.Contains(got, "after") || strings.Count(got, "\n") != 6 {
		t.Error(got)
	}
}
