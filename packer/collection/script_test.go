package collection

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/packer"
)

func TestAScriptThatCannotBeParsedIsAnErrorWithItsLine(t *testing.T) {
	for name, test := range map[string]struct {
		needs, text string
		line        int
		says        string // "": nothing is found
	}{
		"good bash":          {"bash", "#!/bin/bash\nset -eu\necho \"$HOME\"\n", 0, ""},
		"an if without fi":   {"bash", "#!/usr/bin/env bash\nif true; then\n  echo x\n", 4, "bash cannot parse it: syntax error"},
		"a stray word":       {"bash", "#!/bin/bash\necho x\nfi\necho y\n", 3, "bash cannot parse it: syntax error"},
		"an open quote":      {"bash", "#!/usr/bin/env -S bash -e\necho \"x\n", 0, "bash cannot parse it"},
		"sh":                 {"sh", "#!/bin/sh -e\ncase x in\n", 3, "sh cannot parse it"},
		"good python":        {"python3", "#!/usr/bin/env python3\nprint('x')\n", 0, ""},
		"python":             {"python3", "#!/usr/bin/python3\nimport os\ndef f(:\n  pass\n", 3, "python3 cannot parse it: SyntaxError"},
		"an unknown program": {"", "#!/opt/bin/thing\n(((\n", 0, ""},
		"perl runs BEGIN":    {"", "#!/usr/bin/perl\nBEGIN { open F, '>ran' }\n", 0, ""},
		"no #! line":         {"", "((\n", 0, ""},
		"nothing":            {"", "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(test.needs); test.needs != "" && err != nil {
				t.Skip(test.needs, "is not installed here")
			}
			dir := t.TempDir()
			t.Chdir(dir)
			file := filepath.Join(dir, "start")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := lintScript(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat("ran"); err == nil {
				t.Fatal("lint ran the script")
			}
			if test.says == "" {
				if len(found) > 0 {
					t.Errorf("found %v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Level != packer.LevelError || !strings.HasPrefix(found[0].Problem, test.says) {
				t.Fatalf("found %v, want an error %q", found, test.says)
			}
			if test.line > 0 && found[0].Line != test.line {
				t.Errorf("line %d, want %d: %v", found[0].Line, test.line, found[0])
			}
		})
	}
}
