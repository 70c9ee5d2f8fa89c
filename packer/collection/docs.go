package collection

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"startup-bundle/internal/files"
	"startup-bundle/internal/module"
)

// The markers in a module's README between which its options stand.
const (
	optionsBegin = "<!-- options -->"
	optionsEnd   = "<!-- /options -->"
)

// UpdateReadme writes the table of the options that module.yaml declares into
// the module's README, between its markers, and reports whether that changed
// anything. A README without the markers stays as it is.
func UpdateReadme(dir string) (changed bool, err error) {
	path := filepath.Join(dir, module.ReadmeFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	e, err := Read(dir)
	if err != nil {
		return false, err
	}
	before, rest, ok := bytes.Cut(text, []byte(optionsBegin))
	if !ok {
		return false, nil
	}
	_, after, ok := bytes.Cut(rest, []byte(optionsEnd))
	if !ok {
		return false, fmt.Errorf("%s: %s without %s", path, optionsBegin, optionsEnd)
	}
	table := optionsBegin + "\n" + OptionsTable(e.Spec) + optionsEnd
	updated := slices.Concat(before, []byte(table), after)
	if bytes.Equal(updated, text) {
		return false, nil
	}
	return true, files.Write(path, updated, 0o644)
}

// OptionsTable returns the options as a Markdown table, or a sentence where
// there are none.
func OptionsTable(s module.Spec) string {
	if len(s.Options) == 0 {
		return "It has no options.\n"
	}
	var b strings.Builder
	b.WriteString("| option | default | type | what |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		o := s.Options[name]
		value := ""
		switch {
		case o.Required:
			value = "**required**"
		case o.Default != nil && *o.Default != "":
			value = "`" + string(*o.Default) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, value, optionType(o), cell(o.Help))
	}
	return b.String()
}

func optionType(o module.Option) string {
	kind := o.Type
	if kind == "" {
		kind = "string"
	}
	if len(o.Enum) > 0 {
		values := make([]string, len(o.Enum))
		for i, v := range o.Enum {
			values[i] = "`" + string(v) + "`"
		}
		kind = strings.Join(values, " ")
	}
	if o.Secret {
		kind += ", secret"
	}
	return kind
}

// cell makes text fit for a cell of a Markdown table.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

// Markdown documents a whole collection.
func Markdown(entries []Entry) string {
	var b strings.Builder
	b.WriteString(`# The standard modules

Made by ` + "`startup-packer module list --markdown`" + ` from what the modules declare.

| module | version | what | systems | check |
|---|---|---|---|---|
`)
	for _, e := range entries {
		check := ""
		if e.HasCheck {
			check = "yes"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %s |\n", e.Name, e.Name, e.Version, cell(e.Summary), strings.Join(e.OS, ", "), check)
	}
	for _, e := range entries {
		fmt.Fprintf(&b, "\n## %s\n\n%s. [README](../modules/%s/README.md)\n\n%s", e.Name, strings.TrimSuffix(e.Summary, "."), e.Name, OptionsTable(e.Spec))
		if len(e.Tried) > 0 {
			b.WriteString("\nTried:\n\n")
			for _, line := range e.Tried {
				fmt.Fprintf(&b, "- %s\n", line)
			}
		}
	}
	return b.String()
}
