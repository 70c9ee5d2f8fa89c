package document

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"startup-bundle/internal/secret"
	"startup-bundle/internal/strictyaml"
)

// digestText is what a digest looks like.
const digestText = `^[0-9a-f]{64}$`

// fields are the known names; a misspelt one is compared with them.
func fields() []string {
	return []string{"url", "key", "key_from", "sha256", "on_failure", "run", "timeout", "openssl_iterations", "env"}
}

// reader fills a document from a tree, and goes on after a problem.
type reader struct {
	tree     *strictyaml.Tree
	doc      Document
	seen     map[string]bool
	problems Errors
}

func (r *reader) problem(at *strictyaml.Node, field, problem, hint string) {
	e := &Error{Field: field, Problem: problem, Hint: hint}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	r.problems = append(r.problems, e)
}

func (r *reader) document(root *strictyaml.Node) {
	if root == nil || strictyaml.Null(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		r.problem(root, "", "this is not a list of fields", `write "url: https://…": a name, a colon, a space, a value`)
		r.seen["url"] = true // one problem is enough
		return
	}
	for i := 0; i < len(root.Content); i += 2 {
		key := root.Content[i]
		if r.seen[key.Value] {
			r.problem(key, strictyaml.ShownName(key.Value, fields()), "is given twice", "keep one of them")
			continue
		}
		r.seen[key.Value] = true
		r.field(key, root.Content[i+1])
	}
}

func (r *reader) field(key, value *strictyaml.Node) {
	name := key.Value
	switch name {
	case "url":
		r.urls(key, value)
		return
	case "env":
		r.env(value)
		return
	}
	set := r.setter(name)
	if set == nil {
		r.problems = append(r.problems, strictyaml.UnknownField(key, fields(), nearest(name)))
		return
	}
	text, ok := strictyaml.Scalar(value)
	rest, oneLine := r.tree.After(value)
	switch {
	case !ok:
		r.problem(value, name, "takes one value, not a list or names with values", "")
	case strictyaml.Null(value) || text == "":
		r.problem(key, name, "has no value", `give one, or remove the line; the word null, if that is meant, needs "quotes"`)
	case !oneLine && !block(value):
		r.problem(value, name, "is written over several lines, which YAML joins with spaces", "write it on one line")
	case name == "key" && value.Style == 0 && cutsKey(rest):
		r.problem(&strictyaml.Node{Line: value.Line, Column: value.Column + columns(text, rest)}, name,
			"a # after a space begins a comment, and is not part of the key", `put the key in "quotes", or a space after the #`)
	default:
		if problem, hint := set(text); problem != "" {
			r.problem(value, name, problem, hint)
		}
	}
}

// block reports whether a text begins with | or >, and so has its lines below.
func block(n *strictyaml.Node) bool { return n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 }

// cutsKey reports whether rest, which follows the key on its line, is a comment
// that is written like a part of it.
func cutsKey(rest string) bool {
	comment, ok := strings.CutPrefix(strings.TrimLeft(rest, " \t"), "#")
	return ok && comment != "" && !strings.ContainsAny(comment[:1], " \t#")
}

// columns returns how many lie between the start of text and the comment in rest,
// which follows it.
func columns(text, rest string) int {
	before, _, _ := strings.Cut(rest, "#")
	return utf8.RuneCountInString(text + before)
}

// setter returns what stores the one value of a field, or nil for a name that
// is not known. A setter says what is wrong, and what to write instead.
func (r *reader) setter(name string) func(text string) (problem, hint string) {
	switch name {
	case "key":
		return r.key
	case "key_from":
		return r.keyFrom
	case "sha256":
		return r.sha256
	case "on_failure":
		return r.onFailure
	case "run":
		return r.run
	case "timeout":
		return r.timeout
	case "openssl_iterations":
		return r.opensslIterations
	}
	return nil
}

// whole checks what is not about one field.
func (r *reader) whole() {
	if !r.seen["url"] {
		r.problem(nil, "url", "is missing", `add "url: https://…", the address of the bundle`)
	}
	if r.seen["key"] && r.seen["key_from"] {
		r.problem(nil, "key", "and key_from are both given", "keep one of them")
	}
}

func (r *reader) urls(key, value *strictyaml.Node) {
	nodes := []*strictyaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		nodes = value.Content
	}
	if strictyaml.Null(value) {
		value, nodes = key, nil
	}
	if len(nodes) == 0 {
		r.problem(value, "url", "has no value", `write "url: https://…"`)
		return
	}
	if len(nodes) > MaxURLs {
		r.problem(value, "url", fmt.Sprintf("lists %d addresses, more than %d", len(nodes), MaxURLs), "keep the nearest mirrors")
		return
	}
	for _, node := range nodes {
		text, ok := strictyaml.Scalar(node)
		if !ok || strictyaml.Null(node) {
			r.problem(node, "url", "takes an address or a list of addresses", "")
			continue
		}
		if problem, hint := checkURL(text); problem != "" {
			r.problem(node, "url", problem, hint)
			continue
		}
		if slices.Contains(r.doc.URLs, text) {
			r.problem(node, "url", "lists the same address twice", "keep one of them")
			continue
		}
		r.doc.URLs = append(r.doc.URLs, text)
	}
}

func (r *reader) env(value *strictyaml.Node) {
	if value.Kind != yaml.MappingNode {
		r.problem(value, "env", "takes names with values", "write env: {ROLE: web}")
		return
	}
	for i := 0; i < len(value.Content); i += 2 {
		key, value := value.Content[i], value.Content[i+1]
		name := key.Value
		if problem, hint := checkEnvName(name); problem != "" {
			r.problem(key, "env", problem, hint)
			continue
		}
		field := "env." + name
		if _, twice := r.doc.Env[name]; twice {
			r.problem(key, field, "is given twice", "keep one of them")
			continue
		}
		text, ok := strictyaml.Scalar(value)
		switch {
		case !ok:
			r.problem(value, field, "takes one value, not a list or names with values", "write it as one text in quotes")
		case strictyaml.Null(value):
			r.problem(key, field, "has no value", `write "" for an empty one`)
		case strings.ContainsRune(text, 0):
			r.problem(value, field, "holds a NUL character, which no variable can", "remove it")
		default:
			if r.doc.Env == nil {
				r.doc.Env = map[string]string{}
			}
			r.doc.Env[name] = text
		}
	}
}

func (r *reader) key(text string) (problem, hint string) {
	problem, hint = checkKey(text)
	r.doc.Key = secret.New(text)
	return problem, hint
}

func (r *reader) keyFrom(text string) (problem, hint string) {
	r.doc.KeyFrom = text
	return checkKeyFrom(text)
}

func (r *reader) sha256(text string) (problem, hint string) {
	r.doc.SHA256 = strings.TrimPrefix(strings.ToLower(text), "sha256:")
	if !matches(digestText, r.doc.SHA256) {
		return "is not a sha256 digest", "write the 64 hexadecimal digits that sha256sum prints for the bundle file"
	}
	return "", ""
}

func (r *reader) onFailure(text string) (problem, hint string) {
	r.doc.OnFailure = OnFailure(text)
	if r.doc.OnFailure != Stop && r.doc.OnFailure != Continue {
		return "has a value that is not known", "write stop or continue"
	}
	return "", ""
}

func (r *reader) run(text string) (problem, hint string) {
	r.doc.Run = RunPolicy(text)
	if r.doc.Run != Once && r.doc.Run != EveryBoot {
		return "has a value that is not known", "write once or every-boot"
	}
	return "", ""
}

func (r *reader) timeout(text string) (problem, hint string) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return "is not a duration", "write a number and its unit: 90s, 20m or 1h30m"
	case d <= 0:
		return "is not over zero", "remove the line for the default of one hour"
	case d > MaxTimeout:
		return "is longer than 24h", "write 24h or less"
	}
	r.doc.Timeout = d
	return "", ""
}

func (r *reader) opensslIterations(text string) (problem, hint string) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxOpenSSLIterations {
		return fmt.Sprintf("is not a whole number from 1 to %d", MaxOpenSSLIterations),
			"write what openssl enc -iter was given, or remove the line"
	}
	r.doc.OpenSSLIterations = n
	return "", ""
}
