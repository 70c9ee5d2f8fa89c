package packer

import (
	"errors"
	"os"

	"go.yaml.in/yaml/v4"

	"startup-bundle/internal/strictyaml"
)

// places are the lines of a personality's text, for those who report on it.
type places struct {
	uses    []int            // the line of each use
	options []map[string]int // of each use: the line of each option
}

// placesOf reads a personality's file again. It is a valid one.
func placesOf(file string) (places, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return places{}, err
	}
	tree, problem := strictyaml.Parse(text)
	if problem != nil {
		return places{}, problem
	}
	var p places
	for _, use := range field(tree.Root, "modules").Content {
		p.uses = append(p.uses, use.Line)
		lines := map[string]int{}
		options := field(use, "options").Content
		for i := 0; i+1 < len(options); i += 2 {
			lines[options[i].Value] = options[i].Line
		}
		p.options = append(p.options, lines)
	}
	return p, nil
}

// field returns the value of a name in a mapping; a node without content if there
// is none.
func field(n *strictyaml.Node, name string) *strictyaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
	}
	return &strictyaml.Node{}
}

// lineOf returns the line that a personality's error is about; 0 if it names none.
func lineOf(err error) int {
	var e *strictyaml.Error
	if errors.As(err, &e) {
		return e.Line
	}
	return 0
}
