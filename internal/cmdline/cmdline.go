// Package cmdline is what the command lines of both programs have in common: how
// arguments are checked, how a mistake in them is reported, and what help shows.
package cmdline

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"startup-bundle/internal/spelling"
)

// Annotations of a command that hold sections of its man page.
const (
	ExitStatus  = "EXIT STATUS"
	Files       = "FILES"
	Environment = "ENVIRONMENT"
)

// UsageError is a mistake in how a command was called. Nothing was done.
type UsageError struct {
	Command *cobra.Command // the command that could not be understood
	Problem string
	Hint    string // what was probably meant; may be empty
}

func (e *UsageError) Error() string { return e.Problem }

// Misuse returns a [UsageError] of c, for what only the command itself can find.
func Misuse(c *cobra.Command, format string, args ...any) error {
	return &UsageError{Command: c, Problem: fmt.Sprintf(format, args...)}
}

// Explain writes how the command is called, after its error was shown. It
// reports whether err is a mistake in the call.
func Explain(w io.Writer, err error) bool {
	var e *UsageError
	if !errors.As(err, &e) {
		return false
	}
	if e.Hint != "" {
		fmt.Fprintln(w, e.Hint)
	}
	if !e.Command.HasSubCommands() {
		fmt.Fprintln(w, "usage:", e.Command.UseLine())
	}
	fmt.Fprintf(w, "%s --help says more\n", e.Command.CommandPath())
	return true
}

// Prepare makes all commands below root behave alike. Arguments are checked
// against the command's Use line, where X is an argument, [X] an optional one,
// and "..." repeats it; required and exclusive flags and the values of [OneOf]
// are checked with them, so that every mistake is a [UsageError]. A command that
// only groups others shows its help when called alone, and refuses a name that is
// not one of them. Root gets --version. Call it once, when the tree is complete.
func Prepare(root *cobra.Command, version string) {
	root.Version = version // with the library's own template: another links text/template, 2 MB
	root.SilenceUsage, root.SilenceErrors, root.DisableAutoGenTag = true, true, true
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand(root))
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		help(c, args)
		if text := c.Annotations[ExitStatus]; text != "" {
			fmt.Fprintf(c.OutOrStdout(), "\nExit codes:\n%s\n", text)
		}
	})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	prepare(root)
}

func prepare(c *cobra.Command) {
	c.InitDefaultHelpFlag()
	c.Flags().Lookup("help").Usage = "show this help"
	c.DisableFlagsInUseLine = c.HasSubCommands() || strings.Contains(c.Use, " -")
	if c.HasSubCommands() {
		c.Args = oneOfCommands
		if !c.Runnable() {
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	} else {
		check := c.Args
		c.Args = func(c *cobra.Command, args []string) error {
			if err := arguments(c, args); err != nil {
				return err
			}
			if check != nil { // the command's own demand on them
				if err := check(c, args); err != nil {
					return Misuse(c, "%v", err)
				}
			}
			return flags(c)
		}
	}
	for _, sub := range c.Commands() {
		prepare(sub)
	}
}

// oneOfCommands refuses an argument of a command that only groups others.
func oneOfCommands(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknown(c, args[0])
}

// unknown is the error of a command that is not there.
func unknown(c *cobra.Command, name string) error {
	var known []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			known = append(known, sub.Name())
		}
	}
	e := &UsageError{Command: c, Problem: fmt.Sprintf("unknown command %q", name)}
	if near := nearest(name, known); near != "" {
		e.Hint = fmt.Sprintf("did you mean %s %s?", c.CommandPath(), near)
	}
	return e
}

// nearest also finds what name is the beginning of.
func nearest(name string, known []string) string {
	if near := spelling.Nearest(name, known); near != "" || name == "" {
		return near
	}
	var begins []string
	for _, k := range known {
		if strings.HasPrefix(k, name) || strings.HasPrefix(name, k) {
			begins = append(begins, k)
		}
	}
	if len(begins) == 1 {
		return begins[0]
	}
	return ""
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Show the help of a command",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			c, _, err := root.Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range c.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, _ := root.Find(args) // its error is of root's arguments alone
			if c == nil {
				c = root
			}
			if len(rest) > 0 && c.HasSubCommands() {
				return unknown(c, rest[0])
			}
			return c.Help()
		},
	}
}

// arguments compares args with the Use line.
func arguments(c *cobra.Command, args []string) error {
	var required, most int
	var missing string
	for _, word := range positional(c.Use) {
		switch optional, repeats := strings.HasPrefix(word, "["), strings.HasSuffix(word, "..."); {
		case repeats && !optional:
			required, most = required+1, -1
		case repeats:
			most = -1
		case optional:
			most++
		default:
			required, most = required+1, most+1
		}
		if len(args) < required && missing == "" {
			missing = strings.TrimSuffix(word, "...")
		}
	}
	switch {
	case missing != "":
		return Misuse(c, "no %s given", missing)
	case most >= 0 && len(args) > most:
		return Misuse(c, "unexpected argument %q", args[most])
	}
	return nil
}

// positional returns the words of a Use line that stand for arguments.
func positional(use string) []string {
	var words []string
	fields := strings.Fields(use)
	for i := 1; i < len(fields); i++ {
		switch {
		case fields[i] == "[flags]" || strings.HasPrefix(fields[i], "[-"):
		case strings.HasPrefix(fields[i], "-"): // a flag, and the value behind it
			i++
		default:
			words = append(words, fields[i])
		}
	}
	return words
}

// Group adds commands to parent, under a title of their own in its help.
func Group(parent *cobra.Command, title string, commands ...*cobra.Command) {
	parent.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, c := range commands {
		c.GroupID = title
		parent.AddCommand(c)
	}
}

// oneOf is the annotation that holds the values a flag may have.
const oneOf = "startup_one_of"

// OneOf says which values a flag of c may have: they are checked and completed.
func OneOf(c *cobra.Command, flag string, values ...string) {
	f := c.Flag(flag)
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[oneOf] = values
	Complete(c, flag, func() []string { return values })
}

// Complete completes the values of a flag of c with what list returns.
func Complete(c *cobra.Command, flag string, list func() []string) {
	err := c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // there is no such flag, or it has one already: a mistake in the program
	}
}

// flags checks what the library would report in its own words.
func flags(c *cobra.Command) (err error) {
	var given, missing []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			given = append(given, f.Name)
			for _, value := range values(f) {
				allowed := f.Annotations[oneOf]
				if err == nil && len(allowed) > 0 && !slices.Contains(allowed, value) {
					err = badValue(c, f, value, "one of "+strings.Join(allowed, ", "), nearest(value, allowed))
				}
			}
		} else if f.Annotations[cobra.BashCompOneRequiredFlag] != nil {
			name, usage := pflag.UnquoteUsage(f)
			missing = append(missing, fmt.Sprintf("no --%s %s given: %s", f.Name, name, usage))
		}
	})
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return Misuse(c, "%s", missing[0])
	}
	return exclusive(c, given)
}

func values(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}

// groups is the annotation under which cobra keeps the groups of flags that
// exclude each other, each as names with blanks between.
const groups = "cobra_annotation_mutually_exclusive"

func exclusive(c *cobra.Command, given []string) (err error) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		for _, group := range f.Annotations[groups] {
			var both []string
			for name := range strings.FieldsSeq(group) {
				if slices.Contains(given, name) {
					both = append(both, "--"+name)
				}
			}
			if len(both) > 1 && err == nil {
				err = Misuse(c, "%s exclude each other: give one of them", strings.Join(both, " and "))
			}
		}
	})
	return err
}

// flagError words what the flag library found.
func flagError(c *cobra.Command, err error) error {
	var none *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &none):
		name := none.GetSpecifiedName()
		if none.GetSpecifiedShortnames() != "" {
			return &UsageError{Command: c, Problem: fmt.Sprintf("unknown flag -%s", name)}
		}
		e := &UsageError{Command: c, Problem: fmt.Sprintf("unknown flag --%s", name)}
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		if near := nearest(name, known); near != "" {
			e.Hint = fmt.Sprintf("did you mean --%s?", near)
		}
		return e
	case errors.As(err, &valueless):
		return Misuse(c, "--%s needs a value", valueless.GetFlag().Name)
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return badValue(c, f, invalid.GetValue(), wanted(f.Value.Type()), "")
	}
	return Misuse(c, "%v", err)
}

func badValue(c *cobra.Command, f *pflag.Flag, value, want, near string) error {
	e := &UsageError{Command: c, Problem: fmt.Sprintf("--%s is %q: give %s", f.Name, value, want)}
	if near != "" {
		e.Hint = fmt.Sprintf("did you mean --%s %s?", f.Name, near)
	}
	return e
}

// wanted says what a flag of that type takes.
func wanted(kind string) string {
	switch kind {
	case "int", "int64", "uint", "uint64":
		return "a whole number"
	case "duration":
		return "a duration such as 90s, 5m or 1h"
	case "bool":
		return "true or false"
	}
	return "another value"
}
