package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// saveEnv keeps the document's env for startup-agent check, which has no
// userdata: values may be secrets, so it is a file of its own, mode 0600, and
// not part of the record that status shows.
func (a *Agent) saveEnv() error {
	text, err := json.Marshal(a.env)
	if err != nil {
		return fail(CodeOther, "write env: %w", err)
	}
	path := a.Paths.Env()
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Chmod(path+".new", 0o600), os.Rename(path+".new", path)); err != nil {
		return fail(CodeRecord, "write env: %w", err)
	}
	return nil
}

func (a *Agent) loadEnv() error {
	text, err := os.ReadFile(a.Paths.Env())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &a.env)
	}
	if err != nil {
		return fmt.Errorf("read env: %w", err)
	}
	return nil
}
