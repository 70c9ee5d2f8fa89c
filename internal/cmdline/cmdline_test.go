package cmdline_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"startup-bundle/internal/cmdline"
)

// tree is a program with a command of each kind. ran holds what was run.
func tree(ran *[]string) *cobra.Command {
	run := func(c *cobra.Command, args []string) error {
		*ran = append(*ran, c.CommandPath()+" "+strings.Join(args, " "))
		return nil
	}
	root := &cobra.Command{Use: "tool", Short: "A tool"}
	pack := &cobra.Command{Use: "pack SOURCE -o BUNDLE", RunE: run}
	pack.Flags().StringP("output", "o", "", "the `FILE` to write")
	pack.Flags().String("format", "age", "how")
	pack.Flags().Int("level", 0, "how hard")
	pack.Flags().Duration("timeout", 0, "how long")
	pack.Flags().StringSlice("color", nil, "which")
	pack.Flags().String("key", "", "a key")
	pack.Flags().String("pass", "", "a passphrase")
	pack.MarkFlagsMutuallyExclusive("key", "pass")
	if err := pack.MarkFlagRequired("output"); err != nil {
		panic(err)
	}
	cmdline.OneOf(pack, "format", "age", "openssl")
	cmdline.OneOf(pack, "color", "red", "green")
	group := &cobra.Command{Use: "module", Short: "Modules"}
	group.AddCommand(
		&cobra.Command{Use: "test [MODULE]...", RunE: run},
		&cobra.Command{Use: "add NAME...", RunE: run},
		&cobra.Command{Use: "show [MODULE]", RunE: run},
		&cobra.Command{Use: "only FILE", RunE: run, Args: func(_ *cobra.Command, args []string) error {
			if args[0] == "bad" {
				return errors.New("bad is not a file")
			}
			return nil
		}})
	cmdline.Group(root, "Both:", pack, group)
	cmdline.Prepare(root, "v1.2.3")
	return root
}

func TestAMistakeIsAUsageErrorInPlainWords(t *testing.T) {
	for args, want := range map[string]string{
		"":                             "",
		"--version":                    "",
		"-v":                           "",
		"help":                         "",
		"help module test":             "",
		"module":                       "",
		"completion":                   "",
		"pack dir -o b":                "ran",
		"module test":                  "ran",
		"module test a b":              "ran",
		"module show":                  "ran",
		"module add a b":               "ran",
		"pack dir -o b --color red":    "ran",
		"pakc":                         `unknown command "pakc"; did you mean tool pack?`,
		"frobnicate":                   `unknown command "frobnicate"`,
		"module tset":                  `unknown command "tset"; did you mean tool module test?`,
		"module tset a b":              `unknown command "tset"; did you mean tool module test?`,
		"help modul":                   `unknown command "modul"; did you mean tool module?`,
		"help module tset":             `unknown command "tset"; did you mean tool module test?`,
		"completion bogus":             `unknown command "bogus"`,
		"pack -o b":                    "no SOURCE given",
		"pack a b -o b":                `unexpected argument "b"`,
		"module show a b":              `unexpected argument "b"`,
		"module add":                   "no NAME given",
		"module only bad":              "bad is not a file",
		"pack a":                       "no --output FILE given: the FILE to write",
		"pack a --out b":               "unknown flag --out; did you mean --output?",
		"pack a -x":                    "unknown flag -x",
		"pack a -o":                    "--output needs a value",
		"pack a -o b --level x":        `--level is "x": give a whole number`,
		"pack a -o b --timeout 5":      `--timeout is "5": give a duration such as 90s, 5m or 1h`,
		"pack a -o b --format opnessl": `--format is "opnessl": give one of age, openssl; did you mean --format openssl?`,
		"pack a -o b --color red,blu":  `--color is "blu": give one of red, green`,
		"pack a -o b --key k --pass p": "--key and --pass exclude each other: give one of them",
	} {
		t.Run(args, func(t *testing.T) {
			var ran []string
			var out bytes.Buffer
			root := tree(&ran)
			root.SetArgs(strings.Fields(args))
			root.SetOut(&out)
			root.SetErr(&out)
			err := root.ExecuteContext(t.Context())
			var usage *cmdline.UsageError
			got := ""
			switch {
			case errors.As(err, &usage):
				if got = usage.Problem; usage.Hint != "" {
					got += "; " + usage.Hint
				}
			case err != nil:
				t.Fatalf("not a usage error: %v", err)
			case len(ran) == 1:
				got = "ran"
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if want != "ran" && len(ran) > 0 {
				t.Errorf("ran %v", ran)
			}
			if out.Len() == 0 && want == "" {
				t.Error("it showed nothing")
			}
		})
	}
}

func TestExplainShowsHowTheCommandIsCalled(t *testing.T) {
	var ran []string
	root := tree(&ran)
	root.SetArgs([]string{"pack"})
	var out bytes.Buffer
	if !cmdline.Explain(&out, root.ExecuteContext(t.Context())) {
		t.Fatal("not taken for a mistake in the call")
	}
	const want = "usage: tool pack SOURCE -o BUNDLE\ntool pack --help says more\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	if cmdline.Explain(&out, errors.New("the disk is full")) || out.Len() > 0 {
		t.Errorf("another error was explained: %q", out.String())
	}
}

func TestVersionIsOneLine(t *testing.T) {
	var ran []string
	var out bytes.Buffer
	root := tree(&ran)
	root.SetArgs([]string{"--version"})
	root.SetOut(&out)
	if err := root.ExecuteContext(t.Context()); err != nil || out.String() != "tool version v1.2.3\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
