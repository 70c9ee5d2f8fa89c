package packer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"startup-bundle/internal/module"
)

// Given are options by module and name, which go before a personality's.
type Given map[string]map[string]module.Scalar

// ParseGiven reads options of the form NAME.KEY=VALUE. Its error shows no value.
func ParseGiven(texts []string) (Given, error) {
	given := Given{}
	for _, text := range texts {
		path, value, ok := strings.Cut(text, "=")
		name, key, dotted := strings.Cut(path, ".")
		switch {
		case !ok: // it may be the value of a secret
			return nil, errors.New("--option has no =: write it as NAME.KEY=VALUE, such as site.port=8080")
		case !dotted || name == "" || key == "":
			return nil, fmt.Errorf("--option %s: write it as NAME.KEY=VALUE, such as site.port=8080", path)
		}
		if given[name] == nil {
			given[name] = map[string]module.Scalar{}
		}
		given[name][key] = module.Scalar(value)
	}
	return given, nil
}

// over returns a module's options with those given over them.
func (g Given) over(name string, options map[string]module.Scalar) map[string]module.Scalar {
	if len(g[name]) == 0 {
		return options
	}
	merged := maps.Clone(g[name])
	for key, value := range options {
		if _, ok := merged[key]; !ok {
			merged[key] = value
		}
	}
	return merged
}

// check refuses options for a module that is not there.
func (g Given) check(planned []PlannedModule) error {
	names := make([]string, len(planned))
	for i, m := range planned {
		names[i] = m.Name
	}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("an option is given for module %q: there are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}
