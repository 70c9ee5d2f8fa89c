package cmd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	agent "startup-bundle/cmd/startup-agent/cli"
	packer "startup-bundle/cmd/startup-packer/cli"
)

// hostile is text that retitles, clears and recolours a terminal, with the escapes of
// 7 and 8 bits, and that reorders or overwrites what stands beside it.
const hostile = "x\x1b]0;PWNED\x07\x1b[2J\u009b31m\u202e\u2066\u2028\rz"

// harmful returns what in text could steer a terminal, "" if nothing could.
func harmful(text string) string {
	if !utf8.ValidString(text) {
		return "invalid UTF-8"
	}
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)) {
			return fmt.Sprintf("%q", r)
		}
	}
	return ""
}

// said runs a program and returns its exit code and all that it printed.
func said(t *testing.T, program func(context.Context, []string, io.Writer, io.Writer) int, args ...string) (int, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := program(t.Context(), args, &stdout, &stderr)
	for name, out := range map[string]string{"stdout": stdout.String(), "stderr": stderr.String()} {
		if found := harmful(out); found != "" {
			t.Errorf("%s of %q holds %s: %q", name, args, found, out)
		}
	}
	return code, stdout.String() + stderr.String()
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// handMade writes a tar of files by name; each is executable.
func handMade(t *testing.T, path string, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.String(), 0o644)
}

// A manifest's texts are shown to people in many places: one that is not printable,
// or that has no end, is refused as a whole, by whoever reads it.
func TestManifestTextsArePrintable(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for _, field := range []string{"name", "packer", "lib_digest", "module dir", "module uses", "module source", "module version", "module digest", "module signed_by"} {
		for kind, text := range map[string]string{"hostile": hostile, "C1": "\u009b31m", "bidi": "a\u202eb", "line break": "a\nb", "long": long} {
			t.Run(field+", "+kind, func(t *testing.T) {
				dir := t.TempDir()
				m := map[string]any{"name": "hello", "digest": "sha256:0"}
				all := map[string]any{"format_version": 1, "name": "web", "packer": "p", "modules": []any{m}}
				if of, ok := strings.CutPrefix(field, "module "); ok {
					m[of] = text
				} else {
					all[field] = text
				}
				manifest, err := json.Marshal(all)
				if err != nil {
					t.Fatal(err)
				}
				file, root := filepath.Join(dir, "b.tar"), filepath.Join(dir, "root")
				handMade(t, file, map[string]string{"start-up-bundle/bundle.json": string(manifest), "start-up-bundle/hello/start": "#!/bin/sh\ntouch " + dir + "/ran\n"})
				write(t, filepath.Join(dir, "ud"), "#startup-bundle\nurl: file://"+file+"\n", 0o600)
				if code, out := said(t, agent.Main, "run", "--root", root, "--userdata", filepath.Join(dir, "ud")); code != 13 || !strings.Contains(out, "bundle.json") {
					t.Errorf("run: exit code %d: %s", code, out)
				}
				for _, path := range []string{filepath.Join(dir, "ran"), filepath.Join(root, "var/lib/startup-agent/bundle"), filepath.Join(dir, "unpacked")} {
					if _, err := os.Lstat(path); err == nil {
						t.Errorf("%s is there", path)
					}
				}
				for _, args := range [][]string{{"status"}, {"status", "--json"}, {"logs"}, {"logs", "--json"}, {"timeline"}} {
					said(t, agent.Main, append(args, "--root", root)...)
				}
				for _, args := range [][]string{{"inspect", file}, {"inspect", "--json", file}, {"unpack", file, filepath.Join(dir, "unpacked")}} {
					if code, out := said(t, packer.Main, args...); code != 13 {
						t.Errorf("%q: exit code %d: %s", args, code, out)
					}
				}
			})
		}
	}
}

// What scripts print, what they are named, and what a record or a log from elsewhere
// says reaches no terminal as it is.
func TestHostileTextOnEveryScreen(t *testing.T) {
	dir := t.TempDir()
	root, file := filepath.Join(dir, "root"), filepath.Join(dir, "b.tar")
	handMade(t, file, map[string]string{
		"b/good \u202e/start": "#!/bin/sh\nprintf '%b' '" + strings.NewReplacer("\x1b", `\0033`, "\x07", `\0007`, "\r", `\r`).Replace(hostile) + "\\n\\0233\\n'\n",
		"b/good \u202e/check": "#!/bin/sh\n",
		"b/worse/start":       "#!/bin/sh\nprintf '\\033[2J\\n'; exit 3\n",
	})
	write(t, filepath.Join(dir, "ud"), "#startup-bundle\nurl: file://"+file+"\n", 0o600)
	if code, out := said(t, agent.Main, "run", "--root", root, "--userdata", filepath.Join(dir, "ud")); code != 15 {
		t.Fatalf("run: exit code %d: %s", code, out)
	}
	screens := [][]string{
		{"status"},
		{"status", "--json"},
		{"status", "--wait", "--timeout", "1ms"},
		{"logs"},
		{"logs", "--json"},
		{"logs", "--list"},
		{"logs", "good \u202e"},
		{"logs", "good \u202e", "--json"},
		{"logs", "worse"},
		{"timeline"},
		{"check"},
		{"check", "--json"},
		{"check", hostile},
		{"logs", hostile},
		{"run", "--only", hostile, "--userdata", filepath.Join(dir, "ud")},
		{hostile},
		{"status", "--" + hostile},
		{"bake-check"},
	}
	shown := func(t *testing.T) {
		for _, args := range screens {
			said(t, agent.Main, append(args, "--root", root)...)
		}
		said(t, agent.Main, "collect", "--root", root, "-o", filepath.Join(t.TempDir(), "r.tar.gz"))
	}
	shown(t)
	if code, out := said(t, agent.Main, "logs", "good \u202e", "--root", root); code != 0 || !strings.Contains(out, "z") {
		t.Errorf("logs: exit code %d: %s", code, out)
	}

	// A record and a log of another machine's disk say what they like.
	state := filepath.Join(root, "var/lib/startup-agent/record.json")
	for _, path := range []string{state, filepath.Join(root, "run/startup-agent/status.json")} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var record any
		if err := json.Unmarshal(text, &record); err != nil {
			t.Fatal(err)
		}
		if text, err = json.Marshal(poisoned(record, "")); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(text), 0o600)
	}
	log := filepath.Join(root, "var/log/startup-agent/agent.jsonl")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for line := range strings.Lines(string(text)) {
		var fields any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		bad, err := json.Marshal(poisoned(fields, ""))
		if err != nil {
			t.Fatal(err)
		}
		lines.WriteString(strings.ReplaceAll(string(bad), `\u202e`, "\u202e") + "\n")
	}
	write(t, log, lines.String()+"no JSON "+hostile+"\x9b\n", 0o600)
	shown(t)

	// Userdata and modules of strangers.
	said(t, agent.Main, "validate", filepath.Join(dir, "ud"))
	for _, text := range []string{hostile, "#startup-bundle\n" + hostile + ": 1\n", "#startup-bundle\nurl: file:///" + hostile, "#startup-bundle\n\"a\\e[2J\\u202e\": 1\n"} {
		write(t, filepath.Join(dir, "ud"), text, 0o600)
		said(t, agent.Main, "validate", filepath.Join(dir, "ud"))
		said(t, agent.Main, "validate", "--json", filepath.Join(dir, "ud"))
		said(t, agent.Main, "run", "--force", "--root", root, "--userdata", filepath.Join(dir, "ud"))
	}
	modules := filepath.Join(dir, "modules")
	write(t, filepath.Join(modules, "m/start"), "#!/bin/sh\n", 0o755)
	for _, spec := range []string{
		`summary: "a\e[2J\u009b\u202e"`, `version: "1\e[2J\u202e"`, `"un\e[2J\u202eknown": 1`, `os: ["\e[2J\u202e"]`, `timeout: "\e[2J\u202e"`,
		"options:\n  a: {default: \"\\e[2J\\u202e\", help: \"\\e[2J\\u202e\"}", "options:\n  \"a\\e[2J\\u202e\": {default: x}", "summary: " + hostile,
	} {
		write(t, filepath.Join(modules, "m/module.yaml"), spec+"\n", 0o644)
		for _, args := range [][]string{{"list"}, {"list", "--json"}, {"list", "--markdown"}, {"info", "m"}, {"info", "m", "--json"}, {"lint", "m"}} {
			said(t, packer.Main, append(append([]string{"module"}, args...), "--modules", modules)...)
		}
		said(t, packer.Main, "pack", modules, "-o", filepath.Join(dir, "out.bundle"))
	}
	said(t, packer.Main, "inspect", filepath.Join(dir, hostile))
	said(t, packer.Main, "module", "info", hostile, "--modules", modules)
}

// poisoned returns a JSON value whose texts are all followed by hostile, but for
// those that must have a form to be read at all.
func poisoned(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = poisoned(v[name], name)
		}
	case []any:
		for i := range v {
			v[i] = poisoned(v[i], key)
		}
	case string:
		if _, err := time.Parse(time.RFC3339, v); err != nil && key != "state" && key != "msg" && key != "boot_id" {
			return v + hostile
		}
	}
	return v
}
