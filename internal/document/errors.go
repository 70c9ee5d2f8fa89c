package document

import (
	"fmt"
	"strings"
)

// Error is one problem of a document. It never holds text of the document but
// the name of a field: a value may be the key, pasted into the wrong field.
type Error struct {
	Line, Column int    // from 1; zero where the problem is something missing
	Field        string // such as "url" or "env.ROLE"; empty where there is none
	Problem      string // what is wrong
	Hint         string // what to write instead; may be empty
}

// Error returns the problem on one line.
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

// Errors is every problem of a document, in the order of its text. It is what
// [Parse] returns, even for a single one.
type Errors []*Error

// Error returns the problems, one on each line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, problem := range e {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each problem.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, problem := range e {
		all[i] = problem
	}
	return all
}
