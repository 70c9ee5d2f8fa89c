package document

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds nesting: a document needs two levels, and the YAML parser
// takes seconds over thousands.
const maxDepth = 16

// maxProblems is how many a person is told of at once.
const maxProblems = 20

// Parse reads a document: UTF-8 text of at most MaxSize bytes, lines ended by
// LF or CRLF. The [Magic] line is a comment to it and may be missing: whether
// text is a document at all is for the caller to know. Defaults are filled in.
//
// The error is [Errors]: the problems, with their places; of very many the
// first 20.
func Parse(text []byte) (Document, error) {
	root, problem := parseYAML(text)
	if problem != nil {
		return Document{}, Errors{problem}
	}
	r := reader{seen: map[string]bool{}}
	r.document(root)
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

// parseYAML returns the one value that text holds, nil if it holds none.
func parseYAML(text []byte) (root ast.Node, problem *Error) {
	if problem := checkText(text); problem != nil {
		return nil, problem
	}
	source := strings.ReplaceAll(string(text), "\r\n", "\n") + "\n" // without it the lexer drops a last tag
	defer func() {
		if recover() != nil { // the library's own, on text it did not expect
			root, problem = nil, syntaxError(source, 0, 0, "")
		}
	}()
	tokens := lexer.Tokenize(source)
	if problem := checkTokens(source, tokens); problem != nil {
		return nil, problem
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, fromLibrary(source, err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			line, column := position(doc.Body.GetToken())
			return nil, &Error{
				Line: line, Column: column, Problem: "a second YAML document begins here",
				Hint: `keep one, and remove the "---" line`,
			}
		}
		root = doc.Body
	}
	return root, nil
}

// checkText refuses what no editor writes: it would reach a shell or a log.
func checkText(text []byte) *Error {
	if len(text) > MaxSize {
		return &Error{
			Problem: fmt.Sprintf("the document has %d bytes, more than %d", len(text), MaxSize),
			Hint:    "put large data into the bundle",
		}
	}
	line, column := 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == '\t', r == '\r' && i+1 < len(text) && text[i+1] == '\n':
		case r == utf8.RuneError && size == 1:
			return &Error{Line: line, Column: column, Problem: "this is not UTF-8 text", Hint: "save the file as UTF-8"}
		case r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0, r == '\u2028', r == '\u2029', r == '\ufeff':
			return &Error{
				Line: line, Column: column, Problem: fmt.Sprintf("the invisible character U+%04X is here", r),
				Hint: "remove it",
			}
		}
		i += size
		column++
	}
	return nil
}

// checkTokens refuses the parts of YAML that a document has no use for, most
// of which are the first character of a value that wanted quotes.
func checkTokens(source string, tokens token.Tokens) *Error {
	depth, entries, entriesLine := 0, 0, 0
	for i, tk := range tokens {
		line, column := position(tk)
		switch tk.Type {
		case token.InvalidType:
			return syntaxError(source, line, column, tk.Error)
		case token.AnchorType, token.AliasType, token.TagType, token.DirectiveType, token.MergeKeyType, token.MappingKeyType:
			return &Error{
				Line: line, Column: column, Problem: `a value starts with one of & * ! % ? <<, which mean something to YAML`,
				Hint: `put the value in "quotes"`,
			}
		case token.CommentType:
			if cutsKey(tokens[:i], tk) {
				return &Error{
					Line: line, Column: column, Field: "key", Problem: "a # after a space begins a comment, and is not part of the key",
					Hint: `put the key in "quotes", or a space after the #`,
				}
			}
		case token.DocumentHeaderType:
			if i > 0 && slices.ContainsFunc(tokens[:i], func(t *token.Token) bool { return t.Type != token.CommentType }) {
				return &Error{
					Line: line, Column: column, Problem: `a second YAML document begins here`,
					Hint: `keep one, and remove the "---" line`,
				}
			}
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			if line != entriesLine {
				entries, entriesLine = 0, line
			}
			entries++
		}
		if depth > maxDepth || entries > maxDepth {
			return &Error{
				Line: line, Column: column, Problem: "the nesting is too deep",
				Hint: `only "url" takes a list, and only "env" names with values`,
			}
		}
	}
	return nil
}

// cutsKey reports whether comment follows the key on its line, and is written
// like a part of it.
func cutsKey(before token.Tokens, comment *token.Token) bool {
	n := len(before)
	if n < 3 || comment.Value == "" || strings.ContainsAny(comment.Value[:1], " \t#") {
		return false
	}
	name, colon, value := before[n-3], before[n-2], before[n-1]
	line, _ := position(value)
	commentLine, _ := position(comment)
	return name.Value == "key" && colon.Type == token.MappingValueType && line == commentLine &&
		value.Type != token.DoubleQuoteType && value.Type != token.SingleQuoteType
}

// fromLibrary keeps of the library's error its place and its reason, and drops
// its text, which quotes the document.
func fromLibrary(source string, err error) *Error {
	line, column, message := 0, 0, ""
	if e, ok := err.(interface {
		GetToken() *token.Token
		GetMessage() string
	}); ok {
		line, column = position(e.GetToken())
		message = e.GetMessage()
	}
	return syntaxError(source, line, column, message)
}

// syntaxError says in our own words what the library's message means.
func syntaxError(source string, line, column int, message string) *Error {
	e := &Error{Line: line, Column: column}
	switch {
	case tabIndented(source, line):
		e.Column = 1
		e.Problem, e.Hint = "the line is indented with a tab", "use spaces"
	case strings.Contains(message, "mapping value is not allowed"), strings.Contains(message, "value is not allowed in this context"):
		e.Problem, e.Hint = `a value holds ": " or a line is indented too far`, `put the value in "quotes", or indent it like the line above`
	case strings.Contains(message, "could not find end character"):
		e.Problem, e.Hint = "a quote is opened and never closed", `end the value with the same quote; write \" for one inside "quotes"`
	case strings.Contains(message, "reserved character"), strings.Contains(message, "directive"):
		e.Problem, e.Hint = "a value starts with a character that means something to YAML", `put the value in "quotes"`
	case strings.ContainsAny(message, "[]{}"):
		e.Problem, e.Hint = "a bracket has no partner", "close what is open, and put a comma between values"
	default:
		e.Problem, e.Hint = "this is not YAML", `write "name: value" on each line, with a space after the colon`
	}
	return e
}

func tabIndented(source string, line int) bool {
	if line < 1 {
		return false
	}
	for range line - 1 {
		_, rest, found := strings.Cut(source, "\n")
		if !found {
			return false
		}
		source = rest
	}
	source, _, _ = strings.Cut(source, "\n")
	indent := source[:len(source)-len(strings.TrimLeft(source, " \t"))]
	return strings.Contains(indent, "\t")
}

func position(tk *token.Token) (line, column int) {
	if tk == nil || tk.Position == nil {
		return 0, 0
	}
	return tk.Position.Line, tk.Position.Column
}
