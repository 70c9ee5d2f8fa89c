package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// Error is one problem of a text. It holds no text of it but the name of a
// field: a value may be a secret, written into the wrong field.
type Error struct {
	Line, Column int    // from 1; zero if the problem is something missing
	Field        string // such as "url" or "env.ROLE"; empty if there is none
	Problem      string // what is wrong
	Hint         string // what to write instead; may be empty
}

// Error returns the problem on one line, without control characters.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, "%s: ", e.Field)
	}
	b.WriteString(e.Problem)
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// maxShown is the length of the longest unknown name that an error repeats.
const maxShown = 20

// ShownName returns name if an error may repeat it, and "" otherwise. It may
// repeat the known names, and what looks like a misspelt one: a secret in the
// place of a name has digits or is long.
func ShownName(name string, known []string) string {
	if slices.Contains(known, name) {
		return name
	}
	if name == "" || len(name) > maxShown || !letter(rune(name[0])) {
		return ""
	}
	for _, r := range name {
		if !letter(r) && r != '_' && r != '-' {
			return ""
		}
	}
	return name
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// UnknownField is the error for a name at n that is none of known. meant is the
// known name that it was meant to be, or "".
func UnknownField(n *Node, known []string, meant string) *Error {
	hint := "known are " + strings.Join(known, ", ")
	if meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return &Error{n.Line, n.Column, ShownName(n.Value, known), "is not a known field", hint}
}
