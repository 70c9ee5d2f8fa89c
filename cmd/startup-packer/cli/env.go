package cli

import (
	"errors"
	"fmt"
	"strings"
)

// environment reads the arguments of --env. pflag's own map of strings takes them
// for CSV, which changes values that hold quotes, commas or line breaks. Whether a
// module may have a variable of that name is for the document to say. Errors never
// show a value.
func environment(flags []string) (map[string]string, error) {
	env := map[string]string{}
	for _, flag := range flags {
		name, value, found := strings.Cut(flag, "=")
		switch _, twice := env[name]; {
		case !found || name == "":
			return nil, errors.New("--env: write NAME=VALUE, with a name before the first =")
		case twice:
			return nil, fmt.Errorf("--env sets %s twice; keep one of them", name)
		}
		env[name] = value
	}
	return env, nil
}
