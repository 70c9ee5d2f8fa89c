// Command pictures draws the terminal pictures of the README: what status, logs
// and timeline show of the run that is recorded below root. That is a real one,
// of a rehearsal; only versions, the server's address and the machine's age at
// the start were replaced.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"startup-bundle/agent"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/screen"
	"startup-bundle/agent/timeline"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pictures ROOT FOLDER")
		os.Exit(2)
	}
	if err := draw(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "pictures: %v\n", err)
		os.Exit(1)
	}
}

func draw(root, folder string) error {
	log := agent.Paths{Root: root}.Log()
	lines, err := logs(log)
	if err != nil {
		return err
	}
	r, err := journal.OpenReader(log, journal.LastRun)
	if err != nil {
		return err
	}
	defer r.Close()
	t, err := timeline.Read(r)
	if err != nil {
		return err
	}
	v := screen.Look(root, time.Now())
	v.Root = "" // as on the machine itself
	var status, picture bytes.Buffer
	if err := errors.Join(v.Print(&status, screen.Style{Width: screen.Width}), t.SVG(&picture)); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "status.svg"), terminal("startup-agent status", status.Bytes()), 0o644),
		os.WriteFile(filepath.Join(folder, "logs.svg"), terminal("startup-agent logs", lines), 0o644),
		os.WriteFile(filepath.Join(folder, "timeline.svg"), picture.Bytes(), 0o644),
	)
}

// logs is the log of the run as a terminal shows it.
func logs(path string) ([]byte, error) {
	r, err := journal.OpenReader(path, journal.LastRun)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var text []byte
	var lines journal.Lines
	p := journal.Printer{Color: true}
	err = lines.Each(r, true, func(line []byte) error {
		text = append(p.Append(text, line), '\n')
		return nil
	})
	return text, err
}
