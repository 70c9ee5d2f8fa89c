package document

import (
	"strings"

	"startup-bundle/internal/strictyaml"
)

// Error is one problem of a document.
type Error = strictyaml.Error

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
