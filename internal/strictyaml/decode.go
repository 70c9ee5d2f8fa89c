package strictyaml

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"startup-bundle/internal/spelling"
)

// value stores n in v. field is the path of names that leads to n, as far as an
// error may show it.
func value(n *Node, v reflect.Value, field string) *Error {
	if v.Kind() == reflect.Pointer {
		if Null(n) {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return value(n, v.Elem(), field)
	}
	switch v.Kind() {
	case reflect.Struct:
		return fields(n, v, field)
	case reflect.Map:
		return names(n, v, field)
	case reflect.Slice:
		return list(n, v, field)
	}
	text, ok := Scalar(n)
	switch {
	case !ok:
		return wrong(n, field, "takes one value, not a list or names with values", "")
	case Null(n):
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if n.Tag != "!!bool" {
			return wrong(n, field, "is neither true nor false", "write true or false, without quotes")
		}
		v.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int:
		number, err := strconv.Atoi(text)
		if err != nil || n.Tag != "!!int" {
			return wrong(n, field, "is not a whole number", "write digits, without quotes")
		}
		v.SetInt(int64(number))
	default:
		panic("strictyaml: cannot decode into " + v.Type().String())
	}
	return nil
}

// fields stores a mapping in a struct. A single value is given to the struct's
// UnmarshalText, if it has one.
func fields(n *Node, v reflect.Value, field string) *Error {
	if short, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok && n.Kind == yaml.ScalarNode && !Null(n) {
		if err := short.UnmarshalText([]byte(n.Value)); err != nil {
			return wrong(n, field, "has a value that is not known", "")
		}
		return nil
	}
	if Null(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return wrong(n, field, "takes names with values", `write "name: value": a name, a colon, a space, a value`)
	}
	var known []string
	index := map[string]int{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" {
			known = append(known, name)
			index[name] = i
		}
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		at, ok := index[key.Value]
		switch {
		case !ok:
			return UnknownField(key, known, spelling.Nearest(key.Value, known))
		case seen[key.Value]:
			return twice(key, join(field, key.Value, known))
		}
		seen[key.Value] = true
		if problem := value(n.Content[i+1], v.Field(at), join(field, key.Value, known)); problem != nil {
			return problem
		}
	}
	return nil
}

// names stores a mapping in a map, whose keys are texts as they were written.
func names(n *Node, v reflect.Value, field string) *Error {
	if Null(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return wrong(n, field, "takes names with values", `write "name: value": a name, a colon, a space, a value`)
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	for i := 0; i < len(n.Content); i += 2 {
		key := reflect.ValueOf(n.Content[i].Value).Convert(v.Type().Key())
		path := join(field, n.Content[i].Value, nil)
		if v.MapIndex(key).IsValid() {
			return twice(n.Content[i], path)
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if problem := element(n.Content[i+1], elem, path); problem != nil {
			return problem
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

// list stores a sequence in a slice. A name with nothing after it is a list of
// nothing.
func list(n *Node, v reflect.Value, field string) *Error {
	if n.Kind != yaml.SequenceNode && !Null(n) {
		return wrong(n, field, "takes a list", `write "[a, b]", or one "- a" a line`)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		if Null(item) && item.Value == "" {
			return wrong(item, field, "has an entry without a value", `give one, or remove it; write "" for an empty text`)
		}
		if problem := element(item, v.Index(i), field); problem != nil {
			return problem
		}
	}
	return nil
}

// element stores one entry of a list or map. The word null, which YAML reads as
// nothing, is not taken for a text.
func element(n *Node, v reflect.Value, field string) *Error {
	if v.Kind() == reflect.String && Null(n) && n.Value != "" {
		return wrong(n, field, "has the value null", `put it in "quotes" if it is a text, or write "" for an empty one`)
	}
	return value(n, v, field)
}

func wrong(n *Node, field, problem, hint string) *Error {
	if field == "" {
		problem = "this " + problem
	}
	return &Error{n.Line, n.Column, field, problem, hint}
}

func twice(n *Node, field string) *Error {
	return &Error{n.Line, n.Column, field, "is given twice", "keep one of them"}
}

// join adds name to a path, if an error may show it.
func join(path, name string, known []string) string {
	name = ShownName(name, known)
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

// Scalar returns the text of one value as it was written: 007 stays 007. ok is
// false for a list or a mapping.
func Scalar(n *Node) (text string, ok bool) {
	if n.Kind != yaml.ScalarNode {
		return "", false
	}
	return n.Value, true
}

// Null reports whether nothing is there: no text, ~ or the word null, bare.
func Null(n *Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
