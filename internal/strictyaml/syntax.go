package strictyaml

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	notYAML    = "this is not YAML"
	writeNames = `write "name: value" on each line, with a space after the colon`
)

// syntaxError says in our own words what the library's error means. Its text is
// never shown: it can quote the source.
func (t *Tree) syntaxError(from *yaml.LoadError) *Error {
	e := &Error{Line: from.Mark.Line, Column: from.Mark.Column}
	// What is opened and never closed is noticed only later: name the place where it was opened.
	opened := func() {
		if from.ContextMark.Line > 0 {
			e.Line, e.Column = from.ContextMark.Line, from.ContextMark.Column
		}
	}
	is := func(parts ...string) bool { return containsAny(from.Message, parts) }
	in := func(parts ...string) bool { return containsAny(from.ContextMsg, parts) }
	at := t.at(e.Line, e.Column)
	switch {
	case is(errTooDeep.Error()):
		return tooDeep(e.Line, e.Column)
	case from.Stage == yaml.ComposerStage, is("mapping keys are not allowed", "tag handle", "incompatible YAML"):
		return indicator(e.Line, e.Column)
	case in("an alias", "an anchor", " tag", "directive"), is("directive"):
		opened()
		return indicator(e.Line, e.Column)
	case is("unexpected end of stream", "unexpected document indicator"):
		opened()
		e.Problem = "a quote is opened and never closed"
		e.Hint = `end the value with the same quote; write \" for one inside "quotes"`
	case is("escape character", "hexadecimal number"):
		e.Problem = `a \ in "quotes" starts an escape that YAML does not know`
		e.Hint = `write \\ for a backslash, or use 'single quotes'`
	case is("escape code"):
		e.Problem = `a \u or \U escape is not a character`
		e.Hint = `write the character itself, or both halves of its pair, as in "\ud83d\ude00"`
	case t.tabIndented(e.Line) && !in("flow"):
		e.Column = 1
		e.Problem, e.Hint = "the line is indented with a tab", "use spaces"
	case is("mapping values are not allowed") && t.noName(e):
		e.Problem, e.Hint = notYAML, writeNames
	case is("mapping values are not allowed"):
		e.Problem = `a value holds ": " or a line is indented too far`
		e.Hint = `put the value in "quotes", or indent it like the line above`
	case is("block sequence entries are not allowed"):
		e.Problem = "a list cannot start here"
		e.Hint = `write it below its name, one "- value" a line; if this is a text, put it in "quotes"`
	case is("without preceding whitespace"):
		e.Problem = "there is no space before a #"
		e.Hint = `put a space before the comment, or the whole value in "quotes"`
	case in("block scalar"):
		opened()
		e.Problem = "the lines of text after | or > are malformed"
		e.Hint = "write | alone, and indent the lines below it with spaces"
	case is("cannot start any token"):
		e.Problem, e.Hint = "a value starts with a character that means something to YAML", `put the value in "quotes"`
	case is("node content") && at == ',':
		e.Problem, e.Hint = "a comma has no value before it", `remove it, or write "" for an empty text`
	case is("',' or") && strings.ContainsRune("\"'[{", at):
		e.Problem, e.Hint = "a comma or a closing bracket is missing before this", "put a comma between values"
	case in("flow"), strings.ContainsRune("[]{},", at):
		if is("',' or") {
			opened()
		}
		e.Problem, e.Hint = "a bracket has no partner", "close what is open, and put a comma between values"
	case is("expected key", "'-' indicator"):
		e.Problem = "this does not continue the line above"
		e.Hint = `indent it like the line above, or put the whole value in "quotes"`
	default:
		if is("expected ':'") {
			opened()
		}
		e.Problem, e.Hint = notYAML, writeNames
	}
	t.within(e)
	return e
}

func containsAny(text string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// noName moves the place of a problem to the line before it, if that is the one to
// blame: indented alike, with no colon that ends a name.
func (t *Tree) noName(e *Error) bool {
	if e.Line < 2 || e.Line > len(t.lines) {
		return false
	}
	line, before := t.lines[e.Line-1], t.lines[e.Line-2]
	indent := len(line) - len(strings.TrimLeft(line, " "))
	text := strings.TrimSpace(before)
	if indent != len(before)-len(strings.TrimLeft(before, " ")) || text == "" || text[0] == '#' ||
		strings.Contains(text, ": ") || strings.HasSuffix(text, ":") {
		return false
	}
	e.Line, e.Column = e.Line-1, indent+1
	return true
}

// within moves the place of a problem that is noticed only at the end of the text
// to the last character that a person sees there.
func (t *Tree) within(e *Error) {
	for i := len(t.lines); i > 0 && i <= e.Line; i-- {
		text := strings.TrimRight(t.lines[i-1], " ")
		if last := utf8.RuneCountInString(text); text != "" {
			if i < e.Line || e.Column > last {
				e.Line, e.Column = i, last
			}
			return
		}
	}
}
