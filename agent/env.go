package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"startup-bundle/internal/document"
	"startup-bundle/internal/files"
)

// MaxEnv bounds what is read back, in bytes: JSON writes a byte as six at most.
const MaxEnv = 6 * document.MaxUserdata

// saveEnv keeps the document's env for startup-agent check, which has no
// userdata: values may be secrets, so it is a file of its own, mode 0600, and
// not part of the record that status shows.
func (a *Agent) saveEnv() error {
	text, err := json.Marshal(a.env)
	if err != nil {
		return fail(CodeOther, "write env: %w", err)
	}
	path := a.Paths.Env()
	f, err := files.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fail(CodeRecord, "write env: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o600), f.Close()); err == nil { // not synced: a run that goes on writes it again
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fail(CodeRecord, "write env: %w", err)
	}
	return nil
}

// loadEnv reads what saveEnv kept, perhaps by an agent or for an image that took
// what this one refuses.
func (a *Agent) loadEnv() error {
	text, err := files.Read(a.Paths.Env(), MaxEnv)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var env map[string]string
	if err == nil {
		err = json.Unmarshal(text, &env)
	}
	if err != nil {
		return fail(CodeRecord, "read env: %w", err)
	}
	if err := a.allowEnv(env); err != nil {
		return fail(CodeUserdata, "%s is from an earlier run: %w", a.Paths.Env(), err)
	}
	a.env = env
	return nil
}

// allowEnv refuses names that would let the userdata run something besides the
// bundle. An image that runs only signed bundles refuses every name: no list of
// such names is complete, and env is not signed.
func (a *Agent) allowEnv(env map[string]string) error {
	if a.enforced && len(env) > 0 {
		return fmt.Errorf("this image runs only signed bundles (%s), and env is not signed; "+
			"remove env from the userdata, and make its values options of the bundle's modules", a.Paths.VerifyKeys())
	}
	return document.CheckEnv(env)
}
