// Command gen writes the man pages and shell completions of both programs, from
// their commands: below DIR/PROGRAM, in the places where a root file system has
// them.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	agent "startup-bundle/cmd/startup-agent/cli"
	packer "startup-bundle/cmd/startup-packer/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIR")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(dir string) error {
	date, err := sourceDate()
	if err != nil {
		return err
	}
	return errors.Join(
		program(dir, agent.Command(), manual{section: "8", title: "System administration", date: date}),
		program(dir, packer.Command(), manual{section: "1", title: "User commands", date: date}),
	)
}

func program(dir string, c *cobra.Command, m manual) error {
	dir = filepath.Join(dir, c.Name())
	return errors.Join(m.pages(c, dir), completions(c, filepath.Join(dir, "usr/share")))
}

// sourceDate is the date in the man pages: SOURCE_DATE_EPOCH, so that the same
// sources give the same pages.
func sourceDate() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: set it to the seconds since 1970 of the last commit", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// completions writes what bash, zsh and fish load for the command's name.
func completions(c *cobra.Command, share string) error {
	var bash, zsh, fish bytes.Buffer
	if err := errors.Join(c.GenBashCompletionV2(&bash, true), c.GenZshCompletion(&zsh), c.GenFishCompletion(&fish, true)); err != nil {
		return err
	}
	name := c.Name()
	return errors.Join(
		write(filepath.Join(share, "bash-completion/completions", name), bash.Bytes()),
		write(filepath.Join(share, "zsh/site-functions", "_"+name), zsh.Bytes()),
		write(filepath.Join(share, "fish/vendor_completions.d", name+".fish"), fish.Bytes()),
	)
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
