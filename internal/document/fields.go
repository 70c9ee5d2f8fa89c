package document

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"startup-bundle/internal/secret"
)

// What may be written; none of these ever changes.
const (
	shownName  = `^[A-Za-z][A-Za-z_-]{0,19}$`
	digestText = `^[0-9a-f]{64}$`
)

// fields are the known names; a misspelt one is compared with them.
func fields() []string {
	return []string{"url", "key", "key_from", "sha256", "on_failure", "run", "timeout", "openssl_iterations", "env"}
}

// reader fills a document from a syntax tree, and goes on after a problem.
type reader struct {
	doc      Document
	seen     map[string]bool
	problems Errors
}

func (r *reader) problem(at ast.Node, field, problem, hint string) {
	e := &Error{Field: field, Problem: problem, Hint: hint}
	if at != nil {
		e.Line, e.Column = position(at.GetToken())
	}
	r.problems = append(r.problems, e)
}

func (r *reader) document(root ast.Node) {
	if root == nil {
		return
	}
	pairs, ok := root.(ast.MapNode)
	if !ok {
		r.problem(root, "", "this is not a list of fields", `write "url: https://…": a name, a colon, a space, a value`)
		r.seen["url"] = true // one problem is enough
		return
	}
	for it := pairs.MapRange(); it.Next(); {
		name, _ := scalar(it.Key())
		if r.seen[name] {
			r.problem(it.Key(), fieldName(name), "is given twice", "keep one of them")
			continue
		}
		r.seen[name] = true
		r.field(name, it.Key(), it.Value())
	}
}

func (r *reader) field(name string, key, value ast.Node) {
	switch name {
	case "url":
		r.urls(value)
		return
	case "env":
		r.env(value)
		return
	}
	set := r.setter(name)
	if set == nil {
		r.unknown(name, key)
		return
	}
	text, ok := scalar(value)
	switch {
	case !ok:
		r.problem(value, name, "takes one value, not a list or names with values", "")
	case isNull(value) || text == "":
		r.problem(key, name, "has no value", `give one, or remove the line; the word null, if that is meant, needs "quotes"`)
	case folded(value):
		r.problem(value, name, "is written over several lines, which YAML joins with spaces", "write it on one line")
	default:
		if problem, hint := set(text); problem != "" {
			r.problem(value, name, problem, hint)
		}
	}
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

func (r *reader) unknown(name string, key ast.Node) {
	hint := "known are " + strings.Join(fields(), ", ")
	if near := nearest(name); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	r.problem(key, fieldName(name), "is not a known field", hint)
}

// fieldName returns name if it can be shown: a secret in the place of a name
// has digits, or is long.
func fieldName(name string) string {
	if matches(shownName, name) || slices.Contains(fields(), name) {
		return name
	}
	return ""
}

// scalar returns the text of one value as it was written: 007 stays 007. ok is
// false for a list or a mapping.
func scalar(n ast.Node) (text string, ok bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// folded reports whether a text without | or > goes on after its first line.
func folded(n ast.Node) bool {
	text, ok := n.(*ast.StringNode)
	return ok && strings.Contains(strings.TrimSpace(text.Token.Origin), "\n")
}

func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return null
}

func (r *reader) urls(value ast.Node) {
	nodes := []ast.Node{value}
	if list, ok := value.(*ast.SequenceNode); ok {
		nodes = list.Values
	}
	if len(nodes) == 0 || isNull(value) {
		r.problem(value, "url", "has no value", `write "url: https://…"`)
		return
	}
	if len(nodes) > MaxURLs {
		r.problem(value, "url", fmt.Sprintf("lists %d addresses, more than %d", len(nodes), MaxURLs), "keep the nearest mirrors")
		return
	}
	for _, node := range nodes {
		text, ok := scalar(node)
		if !ok || isNull(node) {
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

func (r *reader) env(value ast.Node) {
	pairs, ok := value.(ast.MapNode)
	if !ok {
		r.problem(value, "env", "takes names with values", "write env: {ROLE: web}")
		return
	}
	for it := pairs.MapRange(); it.Next(); {
		name, _ := scalar(it.Key())
		if problem, hint := checkEnvName(name); problem != "" {
			r.problem(it.Key(), "env", problem, hint)
			continue
		}
		field := "env." + name
		if _, twice := r.doc.Env[name]; twice {
			r.problem(it.Key(), field, "is given twice", "keep one of them")
			continue
		}
		text, ok := scalar(it.Value())
		switch {
		case !ok:
			r.problem(it.Value(), field, "takes one value, not a list or names with values", "write it as one text in quotes")
		case isNull(it.Value()):
			r.problem(it.Key(), field, "has no value", `write "" for an empty one`)
		case strings.ContainsRune(text, 0):
			r.problem(it.Value(), field, "holds a NUL character, which no variable can", "remove it")
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
