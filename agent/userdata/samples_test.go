package userdata_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

const (
	key      = "stirringdullroots"
	document = "#startup-bundle\nurl: https://b.example/w\nkey: " + key + "\n"
	script   = "#!/bin/bash -e\necho " + key + "\n"
)

// What the samples warn of; each is the whole text.
const (
	warnCRLF    = "the lines end with CRLF, as Windows editors write them: save the file with LF line ends"
	warnStart   = "the first line comes after blank lines or spaces: begin with it (in a shell or Terraform, <<-EOF removes indentation)"
	warnNUL     = "the userdata ends with NUL bytes: remove them"
	warnBOM     = `the userdata begins with a byte order mark: save the file as "UTF-8 without BOM"`
	warnUTF16   = "the userdata is UTF-16, as Windows tools write it: save it as UTF-8"
	warnTwice   = "the userdata is base64 twice over: give your tool the plain text, most encode it themselves"
	warnUnknown = "nothing tells what the userdata is for: a start-up document begins with #startup-bundle, a script with #! and its interpreter"
	warnOthers  = "other parts of the MIME message: 1. They are left to cloud-init; where it does not run, move them into the bundle"
	warnType    = "the document's part has another content type: declare it as text/x-startup-bundle"
	warnVersion = "the MIME message has no MIME-Version header: cloud-init needs it to see its parts; add MIME-Version: 1.0"
)

const (
	errAlmost   = "the first line is almost #startup-bundle; make #startup-bundle the first line, exactly so, and alone on it"
	errUnmarked = "the userdata looks like a start-up document without its first line; make #startup-bundle the first line, exactly so, and alone on it"
	errLater    = "#startup-bundle is not the first line; move it to the top"
	errGzip     = "the gzip'd userdata is damaged; was it cut off, or read as text by a tool? make it again, or pass it uncompressed"
	errBundle   = "the userdata is a bundle, not a document that names one; put the bundle at a URL, and make the userdata with startup-packer userdata --url URL"
	errTyped    = "a MIME part has almost the content type text/x-startup-bundle; write it exactly so"
	errTwoParts = "the MIME message has 2 text/x-startup-bundle parts; keep one: an instance has one bundle, and a bundle many modules"
	broken      = "the MIME message cannot be read: "
	remake      = "; make it with startup-packer userdata --mime, or cloud-init devel make-mime"
)

// sample is userdata, and what has to come of it.
type sample struct {
	name string
	raw  string
	want string   // "document", "script: TEXT", "foreign: NAME", "none" or "error: TEXT"
	warn []string // all warnings
}

func samples() []sample {
	all := plainSamples()
	all = append(all, foreignSamples()...)
	all = append(all, encodedSamples()...)
	return append(all, mimeSamples()...)
}

func plainSamples() []sample {
	return []sample{
		{"nothing", "", "none", nil},
		{"blank lines", " \r\n\t\n", "none", nil},
		{"only NUL", "\x00\x00", "none", nil},
		{"only a byte order mark", "\ufeff", "none", nil},

		{"document", document, "document", nil},
		{"document without a last newline", strings.TrimSpace(document), "document", nil},
		{"document with CRLF", strings.ReplaceAll(document, "\n", "\r\n"), "document", []string{warnCRLF}},
		{"document with a byte order mark", "\ufeff" + document, "document", []string{warnBOM}},
		{"document after blank lines", "\n \n" + document, "document", []string{warnStart}},
		{"document indented as a whole", "    " + strings.ReplaceAll(strings.TrimSpace(document), "\n", "\n    "), "document", []string{warnStart}},
		{"document with NUL at its end", document + "\x00\x00", "document", []string{warnNUL}},
		{"document with blanks after the magic", strings.Replace(document, "\n", " \t\n", 1), "document", nil},
		{"document with everything at once", "\ufeff\r\n" + strings.ReplaceAll(document, "\n", "\r\n") + "\x00", "document", []string{warnNUL, warnBOM, warnStart, warnCRLF}},
		{"document in UTF-16, little endian", utf16Text(document, false), "document", []string{warnUTF16}},
		{"document in UTF-16, big endian", utf16Text(document, true), "document", []string{warnUTF16}},
		{"document in JSON", "#startup-bundle\n{\"url\": \"https://b.example/w\", \"key\": \"" + key + "\"}\n", "document", nil},
		{"document in YAML with a header", "#startup-bundle\n---\n" + document, "document", nil},
		{"document at the limit", document + strings.Repeat("#", 16384-len(document)), "document", nil},

		{"document with a tab", "#startup-bundle\nenv:\n\tROLE: " + key, "error: line 3, column 1: the line is indented with a tab; use spaces", nil},
		{"document after blank lines, with a fault", "\n\n#startup-bundle\nkey: [" + key + "]\nurl: s3://b/k", "error: line 4, column 6: key: takes one value, not a list or names with values", []string{warnStart}},
		{"document with CRLF, with a fault", "#startup-bundle\r\nurl: s3://b/k\r\nky: " + key, `error: line 3, column 1: ky: is not a known field; did you mean "key"?`, []string{warnCRLF}},
		{"document of the magic alone", "#startup-bundle\n", `error: url: is missing; add "url: https://…", the address of the bundle`, nil},
		{"document not UTF-8", document + "# \xe9", "error: line 4, column 3: this is not UTF-8 text; save the file as UTF-8", nil},
		{"too long", strings.Repeat("#", 16385), "error: the userdata has 16385 bytes, more than the 16384 that EC2 accepts; gzip it, or move files and scripts into the bundle", nil},

		{"magic with an underscore", strings.Replace(document, "-", "_", 1), "error: " + errAlmost, nil},
		{"magic with a space", strings.Replace(document, "#", "# ", 1), "error: " + errAlmost, nil},
		{"magic in capitals", strings.Replace(document, "startup", "Startup", 1), "error: " + errAlmost, nil},
		{"magic without hash", document[1:], "error: " + errAlmost, nil},
		{"magic without hyphen", strings.Replace(document, "-", "", 1), "error: " + errAlmost, nil},
		{"magic with start-up", strings.Replace(document, "startup", "start-up", 1), "error: " + errAlmost, nil},
		{"magic with two hashes", "#" + document, "error: " + errAlmost, nil},
		{"magic with a colon", strings.Replace(document, "\n", ":\n", 1), "error: " + errAlmost, nil},
		{"magic with a comment", strings.Replace(document, "\n", " v1\n", 1), "error: " + errAlmost, nil},
		{"magic with letters swapped", strings.Replace(document, "startup", "stratup", 1), "error: " + errAlmost, nil},
		{"magic with letters missing", strings.Replace(document, "startup-bundle", "stattup-bunle", 1), "error: " + errAlmost, nil},
		{"magic misspelt", strings.Replace(document, "bundle", "bundel", 1), "error: " + errAlmost, nil},
		{"magic of the agent", strings.Replace(document, "bundle", "agent", 1), "error: " + errAlmost, nil},
		{"magic as a shebang", strings.Replace(document, "#", "#!", 1), "error: " + errAlmost, nil},
		{"magic after a comment", "# web servers\n" + document, "error: " + errLater, nil},
		{"no magic, url first", "url: https://b.example/w\nkey: " + key, "error: " + errUnmarked, nil},
		{"no magic, key first", "key: " + key + "\nurl: https://b.example/w", "error: " + errUnmarked, nil},
		{"no magic, after a comment", "# web\n---\nurl: https://b.example/w", "error: " + errUnmarked, nil},
		{"no magic, JSON", `{"key": "` + key + `", "url": "https://b.example/w"}`, "error: " + errUnmarked, nil},
		{"bundle of age", "age-encryption.org/v1\n-> scrypt", "error: " + errBundle, nil},
		{"bundle of age in text", "-----BEGIN AGE ENCRYPTED FILE-----\n", "error: " + errBundle, nil},
		{"bundle of openssl", "Salted__\x01\x02", "error: " + errBundle, nil},

		{"script", script, "script: " + script, nil},
		{"script of python", "#!/usr/bin/env python3\n", "script: #!/usr/bin/env python3\n", nil},
		{"script with CRLF", strings.ReplaceAll(script, "\n", "\r\n"), "script: " + script, []string{warnCRLF}},
		{"script with a byte order mark", "\ufeff" + script, "script: " + script, []string{warnBOM}},
		{"script after blank lines", "\n\n" + script, "script: " + script, []string{warnStart}},
		{"script with NUL at its end", script + "\x00", "script: " + script, []string{warnNUL}},
		{"script of the hand-made recipe", "#!/bin/sh\ncurl -s URL | openssl enc -d -aes-256-cbc -k P | tar x\n", "script: #!/bin/sh\ncurl -s URL | openssl enc -d -aes-256-cbc -k P | tar x\n", nil},
		{"script that writes a document", "#!/bin/sh\ncat <<E\n" + document + "E\n", "script: #!/bin/sh\ncat <<E\n" + document + "E\n", nil},
	}
}

func foreignSamples() []sample {
	others := "the userdata holds the line #startup-bundle, but is cloud-init configuration: use MIME multipart for both (startup-packer userdata --mime)"
	return []sample{
		{"cloud-config", "#cloud-config\npackages: [" + key + "]\n", "foreign: cloud-init configuration", nil},
		{"cloud-config with CRLF", "#cloud-config\r\n{}\r\n", "foreign: cloud-init configuration", nil},
		{"cloud-config before a document", "#cloud-config\n{}\n" + document, "foreign: cloud-init configuration", []string{others}},
		{"cloud-config archive", "#cloud-config-archive\n- a\n", "foreign: a cloud-init config archive", nil},
		{"cloud-config patch", "#cloud-config-jsonp\n[]\n", "foreign: a cloud-init config patch", nil},
		{"template", "## template: jinja\n#cloud-config\n", "foreign: a cloud-init template", nil},
		{"include", "#include\nhttps://b.example/" + key, "foreign: a cloud-init include", nil},
		{"include once", "#include-once\nhttps://b.example/", "foreign: a cloud-init include", nil},
		{"boothook", "#cloud-boothook\n#!/bin/sh\n", "foreign: a cloud-init boothook", nil},
		{"part handler", "#part-handler\n", "foreign: a cloud-init part handler", nil},
		{"upstart job", "#upstart-job\n", "foreign: a cloud-init upstart job", nil},
		{"Ignition", `{"ignition": {"version": "3.4.0"}, "url": 1}`, "foreign: Ignition configuration", nil},
		{"JSON", `{"role": "` + key + `"}`, "foreign: JSON", nil},
		{"PowerShell", "<powershell>\r\nGet-Item\r\n</powershell>", "foreign: a PowerShell script for EC2Launch", nil},
		{"batch", "<script>dir</script>", "foreign: a batch script for EC2Launch", nil},
		{"EC2Launch tasks", "version: 1.1\ntasks: []", "foreign: a task list for EC2Launch", nil},
		{"Bottlerocket", "[settings.host-containers.admin]\nenabled = true\n", "foreign: settings of Bottlerocket", nil},
		{"Bottlerocket after a comment", "# web\n\n[settings]\n", "foreign: settings of Bottlerocket", nil},
		{"nodeadm", "apiVersion: node.eks.aws/v1alpha1\n", "foreign: a Kubernetes-style document", nil},
		{"binary", "\x7fELF\x02\x00\x01", "foreign: binary data", nil},
		{"zip", "PK\x03\x04\x00\xff", "foreign: binary data", nil},
		{"a word", "helloworld12", "foreign: something unknown", []string{warnUnknown}},
		{"words that are base64", "ROLE", "foreign: something unknown", []string{warnUnknown}},
		{"variables", "ROLE=web\nKEY=" + key, "foreign: something unknown", []string{warnUnknown}},
		{"script without shebang", "apt-get update\n", "foreign: something unknown", []string{warnUnknown}},
		{"comment on a startup script", "# startup script\napt-get update\n", "foreign: something unknown", []string{warnUnknown}},
		{"somebody's key", "key: " + key + "\n", "foreign: something unknown", []string{warnUnknown}},
		{"script whose shebang comes second", "# set up\n#!/bin/sh\n", "foreign: something unknown", []string{warnUnknown}},
	}
}

func encodedSamples() []sample {
	message := mixed(part("text/x-startup-bundle", document))
	return []sample{
		{"gzip", gzipped(document), "document", nil},
		{"gzip with NUL after it", gzipped(document) + "\x00\x00", "document", nil},
		{"base64", encoded(document), "document", nil},
		{"base64 in lines", lines(encoded(document)), "document", nil},
		{"base64 with CRLF and a byte order mark", "\ufeff" + strings.ReplaceAll(lines(encoded(document)), "\n", "\r\n"), "document", nil},
		{"base64 for URLs, unpadded", base64.RawURLEncoding.EncodeToString([]byte(document + "# ???>>>")), "document", nil},
		{"base64 twice", encoded(encoded(document)), "document", []string{warnTwice}},
		{"base64 of gzip", encoded(gzipped(document)), "document", nil},
		{"base64 twice of gzip", encoded(encoded(gzipped(document))), "document", []string{warnTwice}},
		{"gzip of base64", gzipped(encoded(document)), "document", nil},
		{"base64 of gzip of base64", encoded(gzipped(encoded(document))), "document", []string{warnTwice}},
		{"base64 of a document with a byte order mark and CRLF", encoded("\ufeff" + strings.ReplaceAll(document, "\n", "\r\n")), "document", []string{warnBOM, warnCRLF}},
		{"base64 of UTF-16", encoded(utf16Text(document, false)), "document", []string{warnUTF16}},
		{"base64 of a script", encoded(script), "script: " + script, nil},
		{"gzip of a script", gzipped(script), "script: " + script, nil},
		{"base64 of gzip of a script", encoded(gzipped(script)), "script: " + script, nil},
		{"gzip of MIME", gzipped(message), "document", nil},
		{"base64 of gzip of MIME", encoded(gzipped(message)), "document", nil},
		{"gzip of cloud-config", gzipped("#cloud-config\n"), "foreign: cloud-init configuration", nil},
		{"gzip of nothing", gzipped(""), "none", nil},
		{"gzip of 1 MiB", gzipped(script + strings.Repeat("#", 1<<20-len(script))), "script: " + script + strings.Repeat("#", 1<<20-len(script)), nil},

		{"gzip of more than 1 MiB", gzipped(document + strings.Repeat("#", 1<<20)), "error: the userdata is more than 1 MiB once unpacked; move files and scripts into the bundle", nil},
		{"gzip cut off", gzipped(document)[:40], "error: " + errGzip, nil},
		{"gzip of two bytes", "\x1f\x8b", "error: " + errGzip, nil},
		{"gzip with a flipped bit", flipped(gzipped(document)), "error: " + errGzip, nil},
		{"gzip and more", gzipped(document) + document, "error: " + errGzip, nil},
		{"gzip twice", gzipped(gzipped(document)), "error: the userdata is compressed twice; gzip it once; some tools do it themselves", nil},
		{"base64 three times", encoded(encoded(encoded(document))), "error: the userdata is base64 three times over; give your tool the plain text; most encode it themselves", nil},
		{"base64 cut off", encoded(document)[:41], "error: the userdata is a start-up document, but it is base64 that is cut off, damaged or has something around it; give your tool the plain text, as a file if it can", nil},
		{"gzip of several members", gzipped(document[:20]) + gzipped(document[20:40]) + gzipped(document[40:]), "document", nil},
		{"gzip of several members with NUL after them", gzipped(document[:20]) + gzipped(document[20:]) + "\x00\n", "document", nil},
		{"gzip of empty members", gzipped("") + gzipped(document) + gzipped(""), "document", nil},
		{"base64 of gzip of several members", encoded(gzipped(document[:20]) + gzipped(document[20:])), "document", nil},
		{"gzip of members of more than 1 MiB", strings.Repeat(gzipped(strings.Repeat("#", 1<<19)), 3), "error: the userdata is more than 1 MiB once unpacked; move files and scripts into the bundle", nil},
		{"gzip of a member and half of one", gzipped(document) + gzipped(document)[:30], "error: " + errGzip, nil},
	}
}

func mimeSamples() []sample {
	ours := part("text/x-startup-bundle", document)
	cloud := part("text/cloud-config", "#cloud-config\n{}\n")
	const head = "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n"
	return []sample{
		{"MIME", mixed(ours), "document", nil},
		{"MIME with CRLF", strings.ReplaceAll(mixed(ours), "\n", "\r\n"), "document", nil},
		{"MIME after blank lines", "\n\n" + mixed(ours), "document", nil},
		{"MIME with a preamble", strings.Replace(mixed(ours), "--B", "for old readers\n--B", 1), "document", nil},
		{"MIME, version first", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n" + ours + "--B--\n", "document", nil},
		{"MIME, another header first", "Subject: web\nX-Of: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n" + ours + "--B--\n", "document", nil},
		{"MIME without a version", "Content-Type: multipart/mixed; boundary=B\n\n" + ours + "--B--\n", "document", []string{warnVersion}},
		{"MIME, beside cloud-config", mixed(cloud + ours), "document", []string{warnOthers}},
		{"MIME, base64", mixed("--B\nContent-Type: text/x-startup-bundle\nContent-Transfer-Encoding: base64\n\n" + lines(encoded(document))), "document", nil},
		{"MIME, quoted-printable", mixed("--B\nContent-Type: text/x-startup-bundle\nContent-Transfer-Encoding: Quoted-Printable\n\n" + strings.ReplaceAll(document, "url:", "url=\n=3A")), "document", nil},
		{"MIME, 7bit and a charset", mixed("--B\nContent-Type: text/x-startup-bundle; charset=\"us-ascii\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Disposition: attachment; filename=\"a\"\n\n" + document), "document", nil},
		{"MIME, nested", mixed("--B\nContent-Type: multipart/mixed; boundary=C\n\n--C\nContent-Type: text/x-startup-bundle\n\n" + document + "--C--\n" + cloud), "document", []string{warnOthers}},
		{"MIME, no magic in the part", mixed(part("text/x-startup-bundle", strings.SplitN(document, "\n", 2)[1])), "document", nil},
		{"MIME, part as plain text", mixed(part("text/plain", document)), "document", []string{warnType}},
		{"MIME of one part", "Content-Type: text/x-startup-bundle\nMIME-Version: 1.0\n\n" + document, "document", nil},
		{"MIME for others", mixed(cloud), "foreign: a MIME message without a text/x-startup-bundle part", nil},
		{"MIME for others with a script", mixed(part("text/x-shellscript", script)), "foreign: a MIME message without a text/x-startup-bundle part", nil},
		{"MIME for others, broken", head + "--B\nContent-Type: text/cloud-config\n\n#cloud-config\n", "foreign: a MIME message that is broken", nil},

		{"MIME, two documents", mixed(ours + ours), "error: " + errTwoParts, nil},
		{"MIME, document and plain text document", mixed(ours + part("text/plain", document)), "error: " + errTwoParts, nil},
		{"MIME, a faulty document", mixed(part("text/x-startup-bundle", document+"ky: "+key+"\n")), `error: in the text/x-startup-bundle part: line 10, column 1: ky: is not a known field; did you mean "key"?`, nil},
		{"MIME, type misspelt", mixed(part("text/startup-bundle", document)), "error: " + errTyped, nil},
		{"MIME, type of an application", mixed(part("application/x-startup-bundle", document)), "error: " + errTyped, nil},
		{"MIME cut off", head + ours, "error: " + broken + "it ends before the closing boundary that its Content-Type names" + remake, nil},
		{"MIME cut off in base64", head + "--B\nContent-Type: text/x-startup-bundle\nContent-Transfer-Encoding: base64\n\nI3N0YX", "error: " + broken + "it ends before the closing boundary that its Content-Type names" + remake, nil},
		{"MIME cut off in the headers of a part", head + ours + "--B\nContent-Type: text/pl", "error: " + broken + "it ends before the closing boundary that its Content-Type names" + remake, nil},
		{"MIME, base64 that is none", mixed("--B\nContent-Type: text/x-startup-bundle\nContent-Transfer-Encoding: base64\n\n?\n"), "error: " + broken + "a part does not decode" + remake, nil},
		{"MIME, part without an empty line", mixed("--B\nContent-Type: text/x-startup-bundle\n#startup-bundle\nurl\n"), "error: " + broken + "the headers of a part are damaged" + remake, nil},
		{"MIME, no boundary", "Content-Type: multipart/mixed\nMIME-Version: 1.0\n\n" + ours, "error: " + broken + "its Content-Type names no boundary" + remake, nil},
		{"MIME, another boundary", strings.Replace(mixed(ours), "\"B\"", "\"X\"", 1), "error: " + broken + "it ends before the closing boundary that its Content-Type names" + remake, nil},
		{"MIME, no empty line", "Content-Type: multipart/mixed\n--B\n" + ours, "error: " + broken + "its headers are not followed by an empty line" + remake, nil},
		{"MIME, unknown encoding", mixed("--B\nContent-Type: text/x-startup-bundle\nContent-Transfer-Encoding: uuencode\n\n" + document), "error: " + broken + "a part has a transfer encoding that is not base64, quoted-printable, 7bit, 8bit or binary" + remake, nil},
		{"MIME, many parts", gzipped(mixed(strings.Repeat(cloud, 300) + ours)), "error: " + broken + "it has more than 256 parts" + remake, nil},
		{"MIME, nested deep", nested(8), "error: " + broken + "it is nested too deep" + remake, nil},
	}
}

func mixed(parts string) string {
	return "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n" + parts + "--B--\n"
}

func part(contentType, text string) string {
	return "--B\nContent-Type: " + contentType + "\n\n" + text
}

func nested(depth int) string {
	text := "Content-Type: text/x-startup-bundle\n\n" + document
	for i := range depth {
		b := string(rune('a' + i))
		text = "Content-Type: multipart/mixed; boundary=" + b + "\n\n--" + b + "\n" + text + "\n--" + b + "--\n"
	}
	return text
}

func gzipped(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// flipped has one bit changed in its compressed data.
func flipped(text string) string {
	b := []byte(text)
	b[len(b)/2] ^= 1
	return string(b)
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func lines(text string) string {
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	return b.String() + text + "\n"
}

func utf16Text(text string, big bool) string {
	var b bytes.Buffer
	for _, u := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		if big {
			b.Write([]byte{byte(u >> 8), byte(u)})
		} else {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
	}
	return b.String()
}
