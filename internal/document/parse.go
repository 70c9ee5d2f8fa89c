package document

import (
	"fmt"
	"slices"

	"startup-bundle/internal/strictyaml"
)

// maxProblems is how many a person is told of at once.
const maxProblems = 20

// Parse reads a document: UTF-8 text of at most MaxSize bytes, lines ended by
// LF or CRLF. The [Magic] line is a comment to it and may be missing: whether
// text is a document at all is for the caller to know. Defaults are filled in.
//
// The error is [Errors]: the problems, with their places; of very many the
// first 20.
func Parse(text []byte) (Document, error) {
	if len(text) > MaxSize {
		return Document{}, Errors{{
			Problem: fmt.Sprintf("the document has %d bytes, more than %d", len(text), MaxSize),
			Hint:    "put large data into the bundle",
		}}
	}
	tree, problem := strictyaml.Parse(text)
	if problem != nil {
		return Document{}, Errors{problem}
	}
	r := reader{tree: tree, seen: map[string]bool{}}
	r.document(tree.Root)
	r.whole()
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b *Error) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		if more := len(r.problems) - maxProblems; more > 0 {
			r.problems = append(r.problems[:maxProblems], &Error{Problem: fmt.Sprintf("and %d more problems", more)})
		}
		return Document{}, r.problems
	}
	return r.doc.withDefaults(), nil
}
