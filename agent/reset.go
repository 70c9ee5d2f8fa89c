package agent

import (
	"errors"
	"os"

	"go.uber.org/zap"

	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/files"
)

// Reset forgets the last run: its record and its bundle, and with all the
// modules' state and every log. It waits for no running agent: that is an error.
func Reset(paths Paths, all bool) (Code, error) {
	if _, err := os.Stat(paths.State()); errors.Is(err, os.ErrNotExist) && !all {
		return CodeDone, nil
	}
	a := &Agent{Config: Config{Paths: paths, BootID: bootID()}}
	unlock, err := a.lock()
	if err != nil {
		return codeOfReset(err), err
	}
	defer unlock()
	if old, err := record.Load(paths.Record()); err == nil { // without it nobody finds them any more
		a.stopCutOff(zap.NewNop(), old)
	}
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
