package journal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"startup-bundle/agent/journal"
)

// Joined errors are sentences on lines of their own: a log has them on one line, with
// no mark of a character that could not be shown.
func TestJoinedErrorIsOneReadableLine(t *testing.T) {
	dir := t.TempDir()
	console := filepath.Join(dir, "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var terminal bytes.Buffer
	j, err := journal.Open(journal.Config{Path: filepath.Join(dir, "log"), Terminal: &terminal, Console: console})
	if err != nil {
		t.Fatal(err)
	}
	j.Error(journal.MessageFailed, zap.Error(errors.Join(errors.New("one"), errors.Join(errors.New("two"), errors.New("three")))))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile(console)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"terminal": terminal.String(), "console": string(shown)} {
		if !strings.Contains(text, "one; two; three") || strings.ContainsAny(text, "\ufffd?") {
			t.Errorf("%s: %q", where, text)
		}
	}
}
