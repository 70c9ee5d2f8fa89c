package userdata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"startup-bundle/internal/document"
)

const firstLineHint = `make ` + document.Magic + ` the first line, exactly so, and alone on it`

// classify tells the kind by the first line, and reads what is ours.
func (p *parser) classify() error {
	text, moved := p.start()
	line, _, _ := bytes.Cut(text, []byte("\n"))
	first := strings.TrimRight(string(line), blank)
	switch {
	case first == "":
		p.out.Kind = None
		return nil
	case isBundle(text):
		return &Error{
			"the userdata is a bundle, not a document that names one",
			"put the bundle at a URL, and make the userdata with startup-packer userdata --url URL",
		}
	case isMIME(text):
		return p.multipart(text)
	case strings.HasPrefix(first, "#!") && !document.NearMagic(first):
		p.warnAboutText(moved)
		return p.script(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	case first == document.Magic:
		p.warnAboutText(moved)
		return p.document(p.text)
	case document.NearMagic(first):
		return &Error{"the first line is almost " + document.Magic, firstLineHint}
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

// looksLikeDocument reports whether the first thing that is not a comment is
// one of the fields a document starts with, as YAML or as JSON.
func looksLikeDocument(text []byte) bool {
	if bytes.HasPrefix(text, []byte("{")) {
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) != nil {
			return false
		}
		return object["url"] != nil && object["ignition"] == nil
	}
	if !bytes.HasPrefix(text, []byte("url:")) && !bytes.Contains(text, []byte("\nurl:")) {
		return false
	}
	for line := range bytes.Lines(text) {
		line = bytes.Trim(line, blank)
		if len(line) == 0 || line[0] == '#' || string(line) == "---" {
			continue
		}
		for _, field := range []string{"url", "key", "key_from", "sha256", "on_failure"} {
			if bytes.HasPrefix(line, []byte(field+":")) {
				return true
			}
		}
		return false
	}
	return false
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
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal(text, &object) == nil && object["ignition"] != nil:
		return "Ignition configuration"
	case object != nil:
		return "JSON"
	case bytes.Contains(text, []byte("\n[settings")):
		return "settings of Bottlerocket"
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return "binary data"
	}
	return ""
}
