package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"startup-bundle/internal/cmdline"
)

// manual is where a program's pages go.
type manual struct {
	section string // of the manual: 1 for users' programs, 8 for the administrator's
	title   string
	date    time.Time
}

// pages writes one page for each command, compressed, below dir.
func (m manual) pages(c *cobra.Command, dir string) error {
	for _, sub := range commands(c) {
		if err := m.pages(sub, dir); err != nil {
			return err
		}
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(md2man.Render([]byte(m.page(c)))); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.%s.gz", pageName(c), m.section)
	return write(filepath.Join(dir, "usr/share/man/man"+m.section, name), packed.Bytes())
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// commands returns those that have a page.
func commands(c *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" {
			list = append(list, sub)
		}
	}
	return list
}

// page is the page of a command, as Markdown.
func (m manual) page(c *cobra.Command) string {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, "\n# %s\n\n", title) }
	fmt.Fprintf(&b, "%s %s %q %q %q\n===\n", strings.ToUpper(pageName(c)), m.section, m.date.Format("January 2006"), c.Root().Name(), m.title)
	section("NAME")
	fmt.Fprintf(&b, "%s - %s\n", pageName(c), lowerFirst(c.Short))
	section("SYNOPSIS")
	synopsis := strings.TrimSuffix(c.UseLine(), " [flags]")
	if c.HasSubCommands() {
		synopsis = c.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(&b, "**%s** [*FLAGS*]\n", escape(synopsis))
	section("DESCRIPTION")
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	paragraphs(&b, text)
	if c.HasSubCommands() {
		section("COMMANDS")
		for _, sub := range commands(c) {
			fmt.Fprintf(&b, "**%s**\n:  %s. See **%s**(%s).\n\n", sub.Name(), escape(sub.Short), pageName(sub), m.section)
		}
	}
	flags(&b, section, "OPTIONS", c.NonInheritedFlags())
	flags(&b, section, "OPTIONS OF ALL COMMANDS", c.InheritedFlags())
	for _, title := range []string{cmdline.ExitStatus, cmdline.Files, cmdline.Environment} {
		if text := c.Annotations[title]; text != "" {
			section(title)
			paragraphs(&b, text)
		}
	}
	if c.Example != "" {
		section("EXAMPLES")
		for line := range strings.Lines(c.Example) {
			b.WriteString("    " + strings.TrimSpace(line) + "\n")
		}
	}
	section("SEE ALSO")
	var others []string
	if c.HasParent() {
		others = append(others, fmt.Sprintf("**%s**(%s)", pageName(c.Parent()), m.section))
	}
	for _, sub := range commands(c) {
		others = append(others, fmt.Sprintf("**%s**(%s)", pageName(sub), m.section))
	}
	if len(others) == 0 {
		others = append(others, "**systemd**(1)")
	}
	b.WriteString(strings.Join(others, ", ") + "\n")
	return b.String()
}

func flags(b *strings.Builder, section func(string), title string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	section(title)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + strings.ToUpper(value)
		}
		fmt.Fprintf(b, "**%s**\n:  %s\n\n", escape(name), escape(usage))
	})
}

// paragraphs writes text; lines that are indented, and tables, as they are.
func paragraphs(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if rest, ok := strings.CutPrefix(line, "  "); ok {
			b.WriteString("    " + rest + "\n")
		} else {
			b.WriteString(escape(line) + "\n")
		}
	}
}

// escape keeps Markdown from taking a character for a mark.
func escape(text string) string {
	return strings.NewReplacer("\\", `\\`, "*", `\*`, "_", `\_`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`, "`", "\\`").Replace(text)
}

func lowerFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}
