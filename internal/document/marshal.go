package document

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// bareText is text that needs no quotes, but for the words that [bare] excepts.
const bareText = `^[A-Za-z/][A-Za-z0-9/._~+=&?%@:-]*$`

// Marshal writes the document, [Magic] line first, with only what differs from
// the defaults: the fields in the order of this package's documentation, the
// environment sorted. The result holds the key.
//
// It refuses what [Parse] would refuse, with Parse's error, and what would not
// come back from Parse the same.
func (d Document) Marshal() ([]byte, error) {
	d = d.withDefaults()
	var b strings.Builder
	b.WriteString(Magic + "\n")
	write := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, quote(value))
		}
	}
	if len(d.URLs) == 1 {
		write("url", d.URLs[0])
	} else if len(d.URLs) > 1 {
		b.WriteString("url:\n")
		for _, u := range d.URLs {
			fmt.Fprintf(&b, "  - %s\n", quote(u))
		}
	}
	write("key", d.Key.Reveal())
	write("key_from", d.KeyFrom)
	write("sha256", d.SHA256)
	write("on_failure", string(d.OnFailure))
	if d.Run != Once {
		write("run", string(d.Run))
	}
	if d.Timeout != DefaultTimeout {
		write("timeout", d.Timeout.String())
	}
	if d.OpenSSLIterations != 0 {
		fmt.Fprintf(&b, "openssl_iterations: %d\n", d.OpenSSLIterations)
	}
	if len(d.Env) > 0 {
		b.WriteString("env:\n")
		for _, name := range slices.Sorted(maps.Keys(d.Env)) {
			fmt.Fprintf(&b, "  %s: %s\n", quote(name), quote(d.Env[name]))
		}
	}
	text := []byte(b.String())
	back, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	if !back.Equal(d) {
		return nil, fmt.Errorf("write document: %w", errChanged)
	}
	return text, nil
}

// quote returns text as one YAML value: bare where every reader of YAML takes
// it as the same text, else in double quotes.
func quote(text string) string {
	if bare(text) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == '\u2028' || r == '\u2029' || r == '\ufeff':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// bare starts with a letter and is no word that some YAML reads as a boolean
// or nothing, and has no ": " or " #" because it has no space.
func bare(text string) bool {
	if !matches(bareText, text) || strings.HasSuffix(text, ":") {
		return false
	}
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	return true
}
