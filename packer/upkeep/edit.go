package upkeep

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"startup-bundle/packer"
)

var errByHand = errors.New("its list of modules is not one entry a line: change it by hand")

// appended returns a personality's text with one module more at the end of its
// list. All else, comments and layout too, stays as it is.
func appended(text []byte, use packer.Use) ([]byte, error) {
	list, err := moduleList(text)
	if err != nil {
		return nil, err
	}
	indent := strings.Repeat(" ", list.Start.Position.Column-1)
	entry := indent + "- " + use.Module
	if use.As != "" {
		entry = indent + "- use: " + use.Module + "\n" + indent + "  as: " + use.As
	}
	lines := strings.SplitAfter(string(text), "\n")
	last := lastLine(list)
	if last > len(lines) {
		return nil, errByHand
	}
	if !strings.HasSuffix(lines[last-1], "\n") {
		lines[last-1] += "\n"
	}
	changed := []byte(strings.Join(lines[:last], "") + entry + "\n" + strings.Join(lines[last:], ""))
	return changed, verified(text, changed, func(p *packer.Personality) { p.Modules = append(p.Modules, use) })
}

// replaced returns a personality's text with another reference in the place of one,
// wherever it stands.
func replaced(text []byte, from, to string) ([]byte, error) {
	list, err := moduleList(text)
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(text), "\n")
	for _, t := range tokens(list) {
		if at := t.Position.Line - 1; t.Value == from && at < len(lines) {
			lines[at] = strings.Replace(lines[at], from, to, 1)
		}
	}
	changed := []byte(strings.Join(lines, ""))
	return changed, verified(text, changed, func(p *packer.Personality) {
		for i := range p.Modules {
			if p.Modules[i].Module == from {
				p.Modules[i].Module = to
			}
		}
	})
}

// verified reports an edit that did something else than was meant.
func verified(before, after []byte, meant func(*packer.Personality)) error {
	want, err := packer.ParsePersonality(before)
	if err != nil {
		return err
	}
	meant(&want)
	got, err := packer.ParsePersonality(after)
	if err != nil || !reflect.DeepEqual(want, got) {
		return errByHand
	}
	return nil
}

// moduleList returns the list of modules, in block style.
func moduleList(text []byte) (*ast.SequenceNode, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil || len(file.Docs) != 1 {
		return nil, errByHand
	}
	top, ok := file.Docs[0].Body.(*ast.MappingNode)
	if !ok {
		return nil, errByHand
	}
	for _, entry := range top.Values {
		if entry.Key.String() != "modules" {
			continue
		}
		list, ok := entry.Value.(*ast.SequenceNode)
		if !ok || list.IsFlowStyle || len(list.Values) == 0 {
			return nil, errByHand
		}
		return list, nil
	}
	return nil, fmt.Errorf("it has no list of modules")
}

// tokens returns all tokens of a node.
func tokens(n ast.Node) (all []*token.Token) {
	ast.Walk(visitor(func(n ast.Node) { all = append(all, n.GetToken()) }), n)
	return all
}

type visitor func(ast.Node)

// Visit is that of ast.Visitor.
func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}

// lastLine returns the line on which a node ends, from 1.
func lastLine(n ast.Node) (line int) {
	for _, t := range tokens(n) {
		end := t.Position.Line + strings.Count(strings.TrimRight(t.Origin, "\n "), "\n") - strings.Count(leading(t.Origin), "\n")
		line = max(line, end)
	}
	return line
}

// leading returns the space that a token's origin begins with.
func leading(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, "\n "))]
}
