package upkeep

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"startup-bundle/internal/strictyaml"
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
	indent := strings.Repeat(" ", list.Column-1)
	lines := strings.SplitAfter(string(text), "\n")
	last := lastLine(list, lines)
	end := "\n"
	if strings.HasSuffix(lines[0], "\r\n") {
		end = "\r\n"
	}
	if !strings.HasSuffix(lines[last-1], "\n") {
		lines[last-1] += end
	}
	entry := indent + "- " + use.Module + end
	if use.As != "" {
		entry = indent + "- use: " + use.Module + end + indent + "  as: " + use.As + end
	}
	changed := []byte(strings.Join(slices.Insert(lines, last, entry), ""))
	return changed, verified(text, changed, func(p *packer.Personality) { p.Modules = append(p.Modules, use) })
}

// replaced returns a personality's text with another reference in the place of one,
// wherever the list names it.
func replaced(text []byte, from, to string) ([]byte, error) {
	list, err := moduleList(text)
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(text), "\n")
	for _, entry := range list.Content {
		if n := reference(entry); n != nil && n.Value == from {
			runes := []rune(lines[n.Line-1])
			before := string(runes[:n.Column-1])
			lines[n.Line-1] = before + strings.Replace(string(runes[n.Column-1:]), from, to, 1)
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

// reference returns what an entry of the list names, nil if it names nothing.
func reference(entry *strictyaml.Node) *strictyaml.Node {
	if entry.Kind == yaml.MappingNode {
		return field(entry, "use")
	}
	return entry
}

// field returns the value of a name in a mapping, nil if it has none.
func field(mapping *strictyaml.Node, name string) *strictyaml.Node {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i+1]
		}
	}
	return nil
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
func moduleList(text []byte) (*strictyaml.Node, error) {
	tree, problem := strictyaml.Parse(text)
	if problem != nil || tree.Root == nil || tree.Root.Kind != yaml.MappingNode {
		return nil, errByHand
	}
	list := field(tree.Root, "modules")
	if list == nil {
		return nil, fmt.Errorf("it has no list of modules")
	}
	if list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 || len(list.Content) == 0 {
		return nil, errByHand
	}
	return list, nil
}

// lastLine returns the line on which a list in block style ends, from 1.
func lastLine(list *strictyaml.Node, lines []string) int {
	n, outer := list, list.Column-1
	for len(n.Content) > 0 {
		if n.Style&yaml.FlowStyle == 0 {
			outer = n.Column - 1
		}
		n = n.Content[len(n.Content)-1]
	}
	block := n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if !block {
		outer = list.Column - 1
	}
	last := n.Line
	for i := last; i < len(lines); i++ {
		text := strings.TrimLeft(lines[i], " ")
		switch blank := strings.TrimSpace(text) == ""; {
		case blank && block && strings.Contains(lines[n.Line-1], "+"): // |+ keeps the blank lines at its end
			last = i + 1
		case blank, strings.HasPrefix(text, "#") && !block:
		case len(lines[i])-len(text) <= outer:
			return last
		default:
			last = i + 1
		}
	}
	return last
}
