// Package rehearsal is the note that startup-packer rehearse leaves in the root
// folder of its run, so that the agent's commands there advise to rehearse again
// and not to boot again.
package rehearsal

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
)

// file is the note's place below the root.
const file = "var/lib/startup-agent/rehearsal.json"

const maxBytes = 64 << 10

// Note says where a record comes from.
type Note struct {
	Again string `json:"again"` // the command that rehearses again, without secrets
	Kept  bool   `json:"kept"`  // the root stays after the rehearsal
}

// Write leaves the note below root.
func (n Note) Write(root string) error {
	path := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// Read returns the note below root; nil if root is not of a rehearsal.
func Read(root string) *Note {
	f, err := os.Open(filepath.Join(root, file))
	if err != nil {
		return nil
	}
	defer f.Close()
	var n Note
	if json.NewDecoder(io.LimitReader(f, maxBytes)).Decode(&n) != nil {
		return nil
	}
	return &n
}
