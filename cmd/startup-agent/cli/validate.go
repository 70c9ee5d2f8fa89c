package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"startup-bundle/agent"
	"startup-bundle/agent/userdata"
	"startup-bundle/internal/document"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
)

// validation is what validate finds. No field holds a secret.
type validation struct {
	Kind     string       `json:"kind"` // none, document, script, foreign; empty: it cannot be used
	Foreign  string       `json:"foreign,omitempty"`
	Bytes    int          `json:"bytes"`
	Document *shown       `json:"document,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
	Errors   []validError `json:"errors,omitempty"`
}

// shown is a document without its secrets.
type shown struct {
	URLs              []string `json:"urls"` // redacted
	Key               string   `json:"key"`  // set, or not set
	KeyFrom           string   `json:"key_from,omitempty"`
	SHA256            string   `json:"sha256,omitempty"`
	OnFailure         string   `json:"on_failure"`
	Run               string   `json:"run"`
	Timeout           string   `json:"timeout"`
	OpenSSLIterations int      `json:"openssl_iterations,omitempty"`
	Env               []string `json:"env,omitempty"` // names
}

type validError struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field,omitempty"`
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

func (p *program) validateCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "validate FILE|-",
		Short: "Say what the agent would make of a userdata",
		Long: `Validate reads userdata as the agent would: a file, or - for standard input. It
says what kind it is, what each field means, and every warning and error with its
line and column. Secrets are shown as set or not set. It asks nobody and changes
nothing. The exit code is 10 where the agent could not use it.`,
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := readInput(args[0], c.InOrStdin())
			if err != nil {
				return p.failed(agent.CodeOther, err)
			}
			v := validate(raw)
			if paths, err := p.paths(); err == nil {
				v.Warnings = append(v.Warnings, enforcement(paths, v)...)
			}
			if len(v.Errors) > 0 {
				p.code = agent.CodeUserdata
			}
			if asJSON {
				return p.printJSON(v)
			}
			v.print(p.stdout)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return c
}

func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := files.Open(name)
		if errors.Is(err, files.ErrNotRegular) {
			return nil, fmt.Errorf("%w: give - to read standard input", err)
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	return io.ReadAll(io.LimitReader(stdin, userdata.MaxUnpacked+1))
}

func validate(raw []byte) validation {
	u, err := userdata.Parse(raw)
	v := validation{Kind: string(u.Kind), Foreign: u.Foreign, Bytes: len(raw), Warnings: u.Warnings}
	if err != nil {
		v.Kind, v.Errors = "", faults(err)
	}
	if d := u.Document; d != nil {
		v.Document = show(d)
		v.Warnings = append(v.Warnings, advice(d)...)
	}
	return v
}

func faults(err error) []validError {
	var several document.Errors
	var one *userdata.Error
	var list []validError
	switch {
	case errors.As(err, &several):
		for _, e := range several {
			list = append(list, validError{e.Line, e.Column, e.Field, e.Problem, e.Hint})
		}
	case errors.As(err, &one):
		list = append(list, validError{Problem: one.Problem, Hint: one.Hint})
	default:
		list = append(list, validError{Problem: err.Error()})
	}
	return list
}

func show(d *document.Document) *shown {
	s := &shown{
		Key: "not set", KeyFrom: d.KeyFrom, SHA256: d.SHA256, OnFailure: string(d.OnFailure), Run: string(d.Run),
		Timeout: d.Timeout.Round(time.Second).String(), OpenSSLIterations: d.OpenSSLIterations,
	}
	if d.Key.IsSet() {
		s.Key = "set"
	}
	if scheme, _, _ := strings.Cut(d.KeyFrom, ":"); scheme == "kms" {
		s.KeyFrom = "kms:…" // long, and of no use to a reader
	}
	if s.OnFailure == "" {
		s.OnFailure = "as the bundle says, else stop"
	}
	for _, u := range d.URLs {
		s.URLs = append(s.URLs, secret.URL(u))
	}
	for name := range d.Env {
		s.Env = append(s.Env, name)
	}
	slices.Sort(s.Env)
	return s
}

// enforcement says what this image demands of a bundle's signature.
func enforcement(paths agent.Paths, v validation) []string {
	keys, enforced, err := agent.LoadVerifyKeys(paths)
	switch {
	case err != nil:
		return []string{err.Error()}
	case !enforced || (v.Kind != string(userdata.Document) && v.Kind != string(userdata.Script)):
		return nil
	case v.Kind == string(userdata.Script):
		return []string{"this image refuses scripts: it runs only signed bundles, see " + paths.VerifyKeys()}
	case len(v.Document.Env) > 0:
		return []string{"this image refuses env, which is not signed: it runs only signed bundles, see " + paths.VerifyKeys()}
	}
	return []string{"this image runs only bundles signed by " + strings.Join(keys.IDs(), " or ") + ", see " + paths.VerifyKeys()}
}

// advice says what the agent will only find out later.
func advice(d *document.Document) []string {
	var list []string
	for _, u := range d.Unvouched() {
		list = append(list, "from "+secret.URL(u)+" "+document.UnvouchedAdvice)
	}
	if len(d.Env) > 0 {
		list = append(list, "an image that runs only signed bundles refuses env: whether the instance's image does is not known here")
	}
	if d.Key.IsSet() {
		list = append(list, "the key is in the userdata, where every process on the instance can read it: key_from keeps it out")
	}
	return list
}

func (v validation) print(w io.Writer) {
	switch {
	case v.Kind == "":
		fmt.Fprintln(w, "not usable")
	case v.Foreign != "":
		fmt.Fprintf(w, "%s: %s\n", v.Kind, v.Foreign)
	default:
		fmt.Fprintln(w, v.Kind)
	}
	if d := v.Document; d != nil {
		for _, u := range d.URLs {
			field(w, "url", u)
		}
		field(w, "key", d.Key)
		field(w, "key_from", d.KeyFrom)
		field(w, "sha256", d.SHA256)
		field(w, "on_failure", d.OnFailure)
		field(w, "run", d.Run)
		field(w, "timeout", d.Timeout)
		if d.OpenSSLIterations > 0 {
			field(w, "openssl_iterations", fmt.Sprint(d.OpenSSLIterations))
		}
		field(w, "env", strings.Join(d.Env, " "))
	}
	for _, text := range v.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
	for _, e := range v.Errors {
		place := ""
		if e.Line > 0 {
			place = fmt.Sprintf("line %d, column %d: ", e.Line, e.Column)
		}
		if e.Field != "" {
			place += e.Field + ": "
		}
		fmt.Fprintf(w, "error: %s%s", place, e.Problem)
		if e.Hint != "" {
			fmt.Fprintf(w, "; %s", e.Hint)
		}
		fmt.Fprintln(w)
	}
}

func field(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "  %-18s %s\n", name, value)
	}
}
