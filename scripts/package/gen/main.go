// Command gen writes the agent's man pages and shell completions below a
// folder, in the places where a root file system has them, from the commands
// themselves.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"startup-bundle/cmd/startup-agent/cli"
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
	command := cli.Command()
	command.DisableAutoGenTag = true
	return errors.Join(manPages(command, filepath.Join(dir, "usr/share/man/man8"), date), completions(command, filepath.Join(dir, "usr/share")))
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

// manPages writes one page for each command, compressed.
func manPages(c *cobra.Command, dir string, date time.Time) error {
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := manPages(sub, dir, date); err != nil {
			return err
		}
	}
	var page, packed bytes.Buffer
	header := &doc.GenManHeader{Section: "8", Date: &date, Source: "startup-agent", Manual: "System administration"}
	if err := doc.GenMan(c, header, &page); err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(page.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	return write(filepath.Join(dir, name+".8.gz"), packed.Bytes())
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
