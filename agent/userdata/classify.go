package userdata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"startup-bundle/internal/document"
)

const firstLineHint = `make ` + document.Magic + ` the first line, exactly so, and alone on it`

// classify tells the kind by the first line, and reads what is ours.
func (p *parser) classify() error {
	text, moved := p.start()
	first := firstLine(text)
	switch {
	case first == "":
		p.out.Kind = None
		return nil
	case isBundle(text):
		return &Error{
			"the userdata is a bundle, not a document that names one",
			"put the bundle at a URL, and make the userdata with startup-packer userdata --url URL",
		}
	case isGzipAsText(text):
		return &Error{"the userdata is gzip that a tool has read as text", "pass it as binary, or in base64, or uncompressed"}
	case isHTML(text):
		return &Error{
			"the userdata is a web page",
			"see what answers in the place of instance metadata, or of the server that the file was taken from",
		}
	case isMIME(text):
		return p.multipart(text)
	case strings.HasPrefix(first, "#!") && !document.NearMagic(first):
		p.warnAboutText(moved)
		return p.script(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	case first == document.Magic:
		p.warnAboutText(moved)
		return p.document(p.text)
	case foreignByFirstLine(first) == "" && !isIgnition(text):
		if err := mangled(p.text); err != nil {
			return err
		}
	}
	if name := foreignByFirstLine(first); name != "" {
		if hasMagicLine(text) {
			return p.foreign(name, fmt.Sprintf("the userdata holds the line %s, but is %s: use MIME multipart for both (startup-packer userdata --mime)",
				document.Magic, name))
		}
		return p.foreign(name)
	}
	return p.unmarked(text)
}

// unmarked is text that says nowhere what it is.
func (p *parser) unmarked(text []byte) error {
	if hasMagicLine(text) {
		return &Error{document.Magic + " is not the first line", "move it to the top"}
	}
	if looksLikeDocument(text) {
		return &Error{"the userdata looks like a start-up document without its first line", firstLineHint}
	}
	if name := foreignByContent(text); name != "" {
		return p.foreign(name)
	}
	return p.foreign("something unknown", "nothing tells what the userdata is for: a start-up document begins with "+document.Magic+
		", a script with #! and its interpreter")
}

// warnAboutText names the harmless faults of text that is ours.
func (p *parser) warnAboutText(moved bool) {
	if moved {
		p.warn("the first line comes after blank lines or spaces: begin with it (in a shell or Terraform, <<-EOF removes indentation)")
	}
	if bytes.Contains(p.text, []byte("\r\n")) {
		p.warn("the lines end with CRLF, as Windows editors write them: save the file with LF line ends")
	}
}

func hasMagicLine(text []byte) bool {
	for line := range bytes.Lines(text) {
		if string(bytes.Trim(line, blank)) == document.Magic {
			return true
		}
	}
	return false
}

// looksLikeDocument reports whether text has the fields of a document, as YAML or
// as JSON: url, and before all others a field that documents start with. One that
// other programs' files may start with too needs a key beside it.
func looksLikeDocument(text []byte) bool {
	if bytes.HasPrefix(text, []byte("{")) {
		return looksLikeObject(text)
	}
	names := topNames(text)
	if len(names) == 0 || !slices.Contains(names, "url") {
		return false
	}
	switch names[0] {
	case "url", "key", "key_from", "sha256", "on_failure":
		return true
	case "env", "run", "timeout", "openssl_iterations":
		return slices.Contains(names, "key") || slices.Contains(names, "key_from") || slices.Contains(names, "sha256")
	}
	return false
}

// topNames returns what stands before the colon of each line that is not below
// another, comments left out. The first line may have lost its indentation.
func topNames(text []byte) (names []string) {
	type row struct {
		depth int
		name  string
	}
	var rows []row
	for line := range bytes.Lines(text) {
		field := bytes.TrimLeft(line, " ")
		if name, _, _ := bytes.Cut(bytes.TrimRight(field, blank), []byte(":")); len(name) > 0 && name[0] != '#' && name[0] != '-' {
			rows = append(rows, row{len(line) - len(field), string(name)})
		}
	}
	top := 0
	if len(rows) > 1 {
		top = slices.MinFunc(rows[1:], func(a, b row) int { return a.depth - b.depth }).depth
	}
	for i, r := range rows {
		if i == 0 || r.depth == top {
			names = append(names, r.name)
		}
	}
	return names
}

// looksLikeObject is looksLikeDocument for JSON, and for what YAML writes like it.
func looksLikeObject(text []byte) bool {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) == nil {
		return object["url"] != nil && object["ignition"] == nil
	}
	field := func(name string) bool {
		return regexp.MustCompile(`[{,\s]["']?` + name + `["']?\s*:`).Match(text)
	}
	return !field("ignition") && field("url") && (field("key") || field("key_from"))
}

func isIgnition(text []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(text, &object) == nil && object["ignition"] != nil
}

func isJSONObject(text []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(text, &object) == nil && object != nil
}

// isBundle knows the two forms of a bundle by their first bytes.
func isBundle(text []byte) bool {
	for _, magic := range []string{"age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----", "Salted__"} {
		if bytes.HasPrefix(text, []byte(magic)) {
			return true
		}
	}
	return false
}

// foreignByFirstLine knows what other programs mark their userdata with:
// cloud-init's prefixes (docs: "User data formats"), EC2Launch's tags,
// Bottlerocket's settings.
func foreignByFirstLine(line string) string {
	lower := strings.ToLower(line)
	for _, known := range []struct{ prefix, name string }{
		{"#cloud-config-archive", "a cloud-init config archive"},
		{"#cloud-config-jsonp", "a cloud-init config patch"},
		{"#cloud-config", "cloud-init configuration"},
		{"## template:", "a cloud-init template"},
		{"##template:", "a cloud-init template"},
		{"#include", "a cloud-init include"},
		{"#cloud-boothook", "a cloud-init boothook"},
		{"#part-handler", "a cloud-init part handler"},
		{"#upstart-job", "a cloud-init upstart job"},
		{"<powershell", "a PowerShell script for EC2Launch"},
		{"<script", "a batch script for EC2Launch"},
		{"<persist", "a script for EC2Launch"},
		{"<runaslocalsystem", "a script for EC2Launch"},
		{"version: 1.", "a task list for EC2Launch"},
		{"[settings", "settings of Bottlerocket"},
		{"apiversion:", "a Kubernetes-style document"},
		{"<?xml", "XML"},
	} {
		if strings.HasPrefix(lower, known.prefix) {
			return known.name
		}
	}
	return ""
}

func foreignByContent(text []byte) string {
	switch {
	case isIgnition(text):
		return "Ignition configuration"
	case isJSONObject(text):
		return "JSON"
	case bytes.Contains(text, []byte("\n[settings")):
		return "settings of Bottlerocket"
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return "binary data"
	}
	return ""
}
