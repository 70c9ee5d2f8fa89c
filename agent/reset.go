package agent

import (
	"errors"
	"os"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/files"
)

// Reset forgets the last run: its record and its bundle, and with all the
// modules' state and every log. It waits for no running agent: that is an error.
func Reset(paths Paths, all bool) (Code, error) {
	if _, err := os.Stat(paths.State()); errors.Is(err, os.ErrNotExist) && !all {
		return CodeDone, nil
	}
	unlock, err := (&Agent{Config: Config{Paths: paths}}).lock()
	if err != nil {
		return codeOfReset(err), err
	}
	defer unlock()
	// The record goes first: cut off after it, the rest is only rubbish.
	doomed := []string{
		paths.Record(), paths.Record() + ".new", paths.Status(), paths.Env(), paths.Env() + ".new",
		paths.Bundle(), paths.Bundle() + bundle.StageSuffix,
	}
	if all {
		doomed = append(doomed, paths.ModuleStates(), paths.Logs())
	}
	for _, path := range doomed {
		if err := os.RemoveAll(path); err != nil {
			return CodeRecord, err
		}
	}
	return CodeDone, files.SyncDir(paths.State())
}

func codeOfReset(err error) Code {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return CodeOther
}
