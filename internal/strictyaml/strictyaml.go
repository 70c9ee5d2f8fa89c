// Package strictyaml reads every YAML text of the project: the start-up document,
// and the files that people keep beside their modules. What it returns is what
// was written, or an error; an error never quotes a value.
package strictyaml

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Decode reads text, of at most limit bytes, into what into points to, which stays
// as it is if the text holds no value or is refused. The error is an [*Error].
//
// It stores texts, whole numbers and booleans, in structs by the names of their
// yaml tags, in slices and in maps. A text is stored as it was written, also where
// YAML would read a number or a boolean. Unknown names and names given twice are
// errors. A single value in the place of a struct goes to its
// [encoding.TextUnmarshaler].
func Decode(text []byte, limit int, into any) error {
	if len(text) > limit {
		return &Error{Problem: fmt.Sprintf("it is larger than %d bytes", limit)}
	}
	tree, problem := Parse(text)
	if problem != nil {
		return problem
	}
	if tree.Root == nil {
		return nil
	}
	target := reflect.ValueOf(into).Elem()
	fresh := reflect.New(target.Type())
	if problem := value(tree.Root, fresh.Elem(), ""); problem != nil {
		return problem
	}
	target.Set(fresh.Elem())
	return nil
}

// Marshal returns v as YAML that [Decode] reads back.
func Marshal(v any) ([]byte, error) {
	return yaml.Dump(v, yaml.WithLineWidth(-1), yaml.WithQuotePreference(yaml.QuoteDouble))
}
