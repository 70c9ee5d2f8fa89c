package userdata_test

import (
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"

	"startup-bundle/agent/userdata"
	startup "startup-bundle/internal/document"
)

// tool is what people's tools and editors do to a text.
type tool struct {
	name string
	do   func(string) string
	says string // of a document that was treated so
}

func tools() []tool {
	replaced := func(old, by string) func(string) string {
		return func(text string) string { return strings.ReplaceAll(text, old, by) }
	}
	asJSON := func(value any) string {
		text, _ := json.Marshal(value)
		return string(text)
	}
	return []tool{
		{"line feeds as two letters", replaced("\n", `\n`), `the two characters \n`},
		{"CRLF as four letters", replaced("\n", `\r\n`), `the two characters \n`},
		{"line feeds escaped twice", replaced("\n", `\\n`), `the two characters \n`},
		{"carriage returns", replaced("\n", "\r"), ""},
		{"joined by blanks", replaced("\n", " "), ""},
		{"joined by nothing but commas", replaced("\n", ", "), ""},
		{"HTML-escaped", func(text string) string { return "&#35;" + html.EscapeString(text[1:]) }, ""},
		{"HTML-escaped in hex", func(text string) string { return "&#x23;" + html.EscapeString(text[1:]) }, ""},
		{"URL-encoded", url.QueryEscape, ""},
		{"URL path-encoded", url.PathEscape, ""},
		{"in double quotes", func(text string) string { return `"` + text + `"` }, ""},
		{"in single quotes", func(text string) string { return "'" + text + "'" }, ""},
		{"in curly quotes", func(text string) string { return "\u201c" + text + "\u201d" }, ""},
		{"in a JSON string", func(text string) string { return asJSON(text) }, ""},
		{"in a JSON object", func(text string) string { return asJSON(map[string]string{"user_data": text}) }, ""},
		{"as describe-instance-attribute prints it", func(text string) string {
			return asJSON(map[string]any{"InstanceId": "i-1", "UserData": map[string]string{"Value": encoded(text)}})
		}, ""},
		{"in a template's function", func(text string) string { return asJSON(map[string]string{"Fn::Base64": text}) }, ""},
		{"UTF-16 without a mark, little endian", func(text string) string { return utf16Text(text, false)[2:] }, ""},
		{"UTF-16 without a mark, big endian", func(text string) string { return utf16Text(text, true)[2:] }, ""},
		{"the same in base64", func(text string) string { return encoded(utf16Text(text, false)[2:]) }, ""},
		{"a data URL", func(text string) string { return "data:text/plain;base64," + encoded(text) }, ""},
		{"a plain data URL", func(text string) string { return "data:," + url.PathEscape(text) }, ""},
		{"base64 cut off", func(text string) string { return encoded(text)[:len(encoded(text))-3] }, ""},
		{"base64 with a name before it", func(text string) string { return "user_data_base64 = " + encoded(text) }, ""},
		{"base64 three times", func(text string) string { return encoded(encoded(encoded(text))) }, ""},
		{"base64 in quotes", func(text string) string { return `"` + encoded(text) + `"` }, ""},
		{"base64 of gzip cut off", func(text string) string { return encoded(gzipped(text))[:len(encoded(gzipped(text)))-7] }, ""},
		{"gzip as text", func(text string) string { return strings.ToValidUTF8(gzipped(text), "\ufffd") }, ""},
		{"after a zero-width space", func(text string) string { return "\u200b" + text }, ""},
		{"with a no-break space", func(text string) string { return "#\u00a0" + text[1:] }, ""},
		{"with a soft hyphen", replaced("startup-", "startup\u00ad-"), ""},
		{"after a here-document's line", func(text string) string { return "<<EOF\n" + text + "EOF\n" }, ""},
		{"after cat's line", func(text string) string { return "cat <<'EOF' >userdata\n" + text + "EOF\n" }, ""},
		{"as Terraform's argument", func(text string) string {
			return "user_data = <<-EOF\n  " + strings.ReplaceAll(text, "\n", "\n  ") + "EOF\n"
		}, ""},
		{"in a fence", func(text string) string { return "```yaml\n" + text + "```\n" }, ""},
		{"on an option's line", func(text string) string { return "--user-data " + text }, ""},
		{"quoted as mail", func(text string) string { return "> " + strings.ReplaceAll(text, "\n", "\n> ") }, ""},
		{"numbered", func(text string) string { return "1 " + text }, ""},
	}
}

func documents() map[string]string {
	return map[string]string{
		"usual":   document,
		"list":    "#startup-bundle\nurl:\n  - https://b.example/w\n  - s3://b/k\nkey: " + key + "\nenv: {A: b}\n",
		"quoted":  "#startup-bundle\nurl: \"https://b.example/w\"\nkey: '" + key + "'\n",
		"pinned":  "#startup-bundle\nurl: https://b.example/w\nsha256: " + strings.Repeat("0a", 32) + "\n",
		"no key":  "#startup-bundle\nurl: https://b.example/w?a=b&c=d\n",
		"long":    "#startup-bundle\nurl: https://b.example/w\nkey: " + key + "\nenv:\n" + strings.Repeat("  A: b # c\n", 400),
		"reverse": "#startup-bundle\nenv: {A: b}\nkey: " + key + "\nurl: https://b.example/w\n",
	}
}

// ours reports whether userdata is a document or is refused, and never passed over.
func ours(t *testing.T, name, raw string) string {
	t.Helper()
	got, err := userdata.Parse([]byte(raw))
	if err == nil {
		if got.Kind != userdata.Document {
			t.Errorf("%s: it is %q (%s)", name, got.Kind, got.Foreign)
		}
		return ""
	}
	var one *userdata.Error
	var several startup.Errors
	if !errors.As(err, &one) && !errors.As(err, &several) {
		t.Errorf("%s: %v", name, err)
	}
	if one != nil && one.Hint == "" {
		t.Errorf("%s: no cure: %v", name, err)
	}
	if text := err.Error(); strings.Contains(text, key) || strings.Contains(text, "b.example") {
		t.Errorf("%s: it is quoted: %v", name, err)
	}
	return err.Error()
}

func TestAMangledDocumentIsRefused(t *testing.T) {
	for of, text := range documents() {
		for _, tool := range tools() {
			if said := ours(t, of+", "+tool.name, tool.do(text)); !strings.Contains(said, tool.says) {
				t.Errorf("%s, %s: %s", of, tool.name, said)
			}
		}
	}
}

// Two tools in a row: each is undone by itself, so both together are. What is
// coded already, or quoted by a person, is not treated as text once more.
func TestADocumentMangledTwiceIsRefused(t *testing.T) {
	person := []string{"base64 with a name before it", "quoted as mail"}
	for _, first := range tools() {
		if word, _, _ := strings.Cut(first.name, " "); slices.Contains([]string{"base64", "gzip", "UTF-16", "the"}, word) {
			continue
		}
		for _, second := range tools() {
			if !slices.Contains(person, second.name) {
				ours(t, first.name+", then "+second.name, second.do(first.do(document)))
			}
		}
	}
}

func TestWithoutTheMagicLine(t *testing.T) {
	for _, text := range []string{
		"  url: https://b.example/w\n  key: " + key, "\tkey: x\nurl: y", "    key: " + key + "\n    url: https://b.example/w\n",
		"env:\n  A: b\nurl: https://b.example/w\nkey: " + key, "run: every-boot\nkey_from: ssm:/k\nurl: https://b.example/w\n",
		`{url: "https://b.example/w", key: ` + key + `}`, `{"key": "` + key + `", "url": "https://b.example/w",}`,
		`url: https://b.example/w\nkey: ` + key + `\n`, "url: https://b.example/w\rkey: " + key, "url: https://b.example/w key: " + key,
		"url: &quot;https://b.example/w&quot;\nkey: x", `"url: https://b.example/w` + "\nkey: " + key + `"`,
		"#startup_bundle url: https://b.example/w key: " + key, "# startup-bundle, url: https://b.example/w", `#startup_bundel\nurl: https://b.example/w`,
		"#STARTUP-BUNDLE url: https://b.example/w", "#startup-bundle: {url: https://b.example/w}", "# see https://b.example/ for #startup-bundle\nurl: x",
	} {
		if ours(t, text, text) == "" {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestAWebPageIsRefused(t *testing.T) {
	for _, text := range []string{
		"<!DOCTYPE html>\n<html><body>404</body></html>", "\n<HTML><head>", "<html lang=en>", "<head><title>Login</title>",
		"<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\">\n<html>", "<!-- portal -->\n<html>",
		"\ufeff<!doctype HTML>", gzipped("<html>"), encoded("<!DOCTYPE html><html></html>"),
	} {
		if said := ours(t, text, text); !strings.Contains(said, "web page") {
			t.Errorf("%q: %s", text, said)
		}
	}
}

// What is for others stays theirs, also if it speaks of us, or if a tool mangled it.
func TestOthersUserdataIsLeftAlone(t *testing.T) {
	texts := []string{
		"#cloud-config\nwrite_files:\n- path: /root/doc\n  content: |\n    #startup-bundle\n    url: https://b.example/w\n    key: x\n",
		"#cloud-config\n# startup-bundle\nruncmd: [startup-agent]\n", "#cloud-config\nurl: x\nkey: y\n",
		`#cloud-config\nurl: x\nkey: y`, "#cloud-config\rurl: x\rkey: y", "#include https://b.example/#startup-bundle\n",
		"#cloud-config-archive\n- type: text/x-startup-bundle\n", "#cloud-boothook\necho startup-bundle\n",
		`{"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/doc", "contents": {"source": "data:,%23startup-bundle%0Aurl%3A%20x"}}]}}`,
		"{\"ignition\": {\"version\": \"3.4.0\"},\n\"url\": \"#startup-bundle\", \"key\": 1, \"user_data\": \"#startup-bundle\"}",
		"<powershell>\nSet-Content doc '#startup-bundle'\nurl: x\n</powershell>", "<powershell># startup-bundle</powershell>", "<script>echo #startup-bundle</script>",
		"[settings.host-containers.admin]\nuser-data = \"" + encoded(document) + "\"\n", "version: 1.1\ntasks:\n- task: executeScript\n",
		"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\n", "<?xml version=\"1.0\"?><unattend/>", `{"role": "web"}`, `{"url": {"a": 1}, "ignition": {}}`,
		"ROLE=web\nURL=https://b.example/\nKEY=abc\n", "role: web\nurl: https://b.example/\nkey: abc\n", "name: web\nhome:\n  url: x\n  key: y\n",
		"apt-get update\n# then the startup bundle\n", "helloworld12", "null", "c3RhcnR1cA", "%PDF-1.4", "hostname: web\nenv: prod\n",
		"run: x\nurl: y\n", "see the url: x and the key: y", "---\n- url: x\n  key: y\n",
	}
	for _, text := range texts {
		got, err := userdata.Parse([]byte(text))
		if err != nil || got.Kind != userdata.Foreign {
			t.Errorf("%q: %q, %v", text, got.Kind, err)
		}
	}
	for _, text := range []string{"#cloud-config\npackages: [vim]\n", "apt-get update\napt-get install vim\n", `{"role": "web"}`, "ROLE=web\nDEBUG=1\n"} {
		for _, tool := range tools() {
			if tool.name == "gzip as text" || text[0] != '#' && strings.HasPrefix(tool.name, "HTML") {
				continue // nobody can read the one; the other needs a first character to escape
			}
			raw := tool.do(text)
			if got, err := userdata.Parse([]byte(raw)); err == nil && got.Kind != userdata.Foreign {
				t.Errorf("%q, %s: %q", text, tool.name, got.Kind)
			} else if err != nil && !strings.Contains(err.Error(), "three times") {
				t.Errorf("%q, %s: %v", text, tool.name, err)
			}
		}
	}
	for _, text := range []string{"#!/bin/sh\n#startup-bundle\nurl: x\n", "#!/usr/bin/env startup-bundle\n", "#!/bin/sh -e # startup-bundle\n"} {
		if got, err := userdata.Parse([]byte(text)); err != nil || got.Kind != userdata.Script {
			t.Errorf("%q: %q, %v", text, got.Kind, err)
		}
	}
}

func TestAMangledDocumentInAPart(t *testing.T) {
	for name, text := range map[string]string{
		"plain text":   mixed(part("text/plain", strings.ReplaceAll(document, "\n", `\n`))),
		"of no type":   mixed("--B\n\n" + strings.ReplaceAll(document, "\n", " ") + "\n"),
		"ours":         mixed(part("text/x-startup-bundle", strings.ReplaceAll(document, "\n", "\r"))),
		"ours, in one": mixed(part("text/x-startup-bundle", strings.ReplaceAll(document, "\n", " "))),
		"a whole one":  strings.ReplaceAll(mixed(part("text/x-startup-bundle", document)), "\n", `\n`),
	} {
		if ours(t, name, text) == "" {
			t.Errorf("%s: it is taken", name)
		}
	}
	for name, text := range map[string]string{
		"cloud-config": mixed(part("text/cloud-config", "#cloud-config\n# url: x\n")),
		"a script":     mixed(part("text/x-shellscript", "echo '#startup-bundle url: x'\n")),
		"plain text":   mixed(part("text/plain", "a note on the startup bundle\n")),
	} {
		if got, err := userdata.Parse([]byte(text)); err != nil || got.Kind != userdata.Foreign {
			t.Errorf("%s: %q, %v", name, got.Kind, err)
		}
	}
}
