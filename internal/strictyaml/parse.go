package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxDepth bounds how deep lists and names with values may nest. The deepest of
// our files needs four levels.
const maxDepth = 16

// Node is one value of a text, with its place in it: lines and columns count
// characters from 1.
type Node = yaml.Node

// Tree is what a text holds.
type Tree struct {
	Root  *Node // nil if the text holds no value
	lines []string
}

// Parse reads text, which holds at most one YAML document. It returns values as
// they were written: no anchors, aliases, merges, tags or directives, and no
// nesting deeper than 16 levels, so the tree is never larger than the text.
//
// The text is UTF-8 with lines ended by LF or CRLF; a byte order mark at its
// start is skipped. Parse does not limit its length: the caller does.
func Parse(text []byte) (*Tree, *Error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if problem := checkText(text); problem != nil {
		return nil, problem
	}
	source := strings.ReplaceAll(string(text), "\r\n", "\n")
	tree := &Tree{lines: strings.Split(source, "\n")}
	hidden, pairs := hidePairs(source)
	root, problem := tree.load(hidden)
	if problem != nil {
		return nil, problem
	}
	if root != nil {
		if problem := check(root, 0, pairs); problem != nil {
			return nil, problem
		}
	}
	tree.Root = root
	return tree, nil
}

// load returns the root of the one document in source.
func (t *Tree) load(source string) (root *Node, problem *Error) {
	defer func() {
		if recover() != nil { // a fault of the library's, which hostile text must not turn into a crash
			root, problem = nil, t.syntaxError(&yaml.LoadError{})
		}
	}()
	loader, err := yaml.NewLoader(strings.NewReader(source), yaml.WithStreamNodes(), yaml.WithPlugin(limits{}))
	if err != nil {
		return nil, &Error{Problem: "the YAML reader does not start"}
	}
	for {
		var n Node
		switch err := loader.Load(&n); {
		case errors.Is(err, io.EOF):
			return root, nil
		case err != nil:
			var at *yaml.LoadError
			if !errors.As(err, &at) {
				at = &yaml.LoadError{}
			}
			return nil, t.syntaxError(at)
		}
		switch {
		case n.Kind == yaml.StreamNode:
			if n.Stream.Version != nil || n.Stream.TagDirectives != nil {
				return nil, indicator(n.Line, n.Column)
			}
		case root != nil:
			return nil, &Error{
				Line: n.Line, Column: n.Column, Problem: "a second YAML document begins here",
				Hint: `keep one, and remove the "---" line`,
			}
		case len(n.Content) == 1:
			root = n.Content[0]
		}
	}
}

// indicator is the error for the parts of YAML that no file here has a use for.
// Most of them are the first character of a value that should be in quotes.
func indicator(line, column int) *Error {
	return &Error{
		Line: line, Column: column, Problem: `a value starts with one of & * ! % ? <<, which mean something to YAML`,
		Hint: `put the value in "quotes"`,
	}
}

func tooDeep(line, column int) *Error {
	return &Error{Line: line, Column: column, Problem: "the nesting is too deep", Hint: "16 levels are allowed"}
}

// check refuses what is not a plain tree, and restores the texts of n.
func check(n *Node, depth int, pairs *pairs) *Error {
	switch {
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Tag == "!", n.Tag == "!!merge", n.Style&yaml.TaggedStyle != 0:
		return indicator(n.Line, n.Column)
	case n.Kind == yaml.ScalarNode:
		n.Value = pairs.restore(n.Value, n.Style&yaml.DoubleQuotedStyle != 0)
		return nil
	case depth == maxDepth:
		return tooDeep(n.Line, n.Column)
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Kind != yaml.ScalarNode && child.Kind != yaml.AliasNode {
			return &Error{
				Line: child.Line, Column: child.Column, Problem: "a name starts with a bracket, which means something to YAML",
				Hint: `put it in "quotes"; a value that starts with {{ too`,
			}
		}
		if problem := check(child, depth+1, pairs); problem != nil {
			return problem
		}
	}
	return nil
}

// limits ends the library's work where the nesting is too deep.
type limits struct{}

var errTooDeep = errors.New("the nesting is too deep")

// CheckDepth is that of yaml.LoaderLimitsPlugin.
func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errTooDeep
	}
	return nil
}

// CheckAlias is that of yaml.LoaderLimitsPlugin. Aliases are refused before they
// are expanded.
func (limits) CheckAlias(int, int) error { return nil }
