// Package secret holds values that print redacted.
package secret

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted is what stands in the place of a secret wherever one is printed.
const Redacted = "[redacted]"

// String is a secret text. Every way of printing it (fmt verbs, JSON, YAML,
// a logger's reflection) shows [Redacted]; only Reveal gives the text. The
// zero value is "no secret".
//
// The text sits behind a pointer because fmt prints the unexported fields of
// an enclosing struct without asking any method: there it shows an address.
type String struct{ text *string }

// New returns text as a secret. An empty text is no secret: IsSet is false.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{text: &text}
}

// Reveal returns the secret itself.
func (s String) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether there is a secret.
func (s String) IsSet() bool { return s.text != nil }

// Equal reports whether both hold the same text. It is not constant time: it
// compares configuration, never a guess from outside.
func (s String) Equal(other String) bool { return s.Reveal() == other.Reveal() }

// String returns [Redacted], or nothing where there is no secret.
func (s String) String() string {
	if s.text == nil {
		return ""
	}
	return Redacted
}

// Format prints what String returns, whatever the verb.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String returns, for JSON and YAML.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL returns raw without its userinfo, query and fragment: a presigned URL is
// a credential, and which of its parameters are secret differs between signers.
// What does not parse is redacted whole. The key of s3://bucket/key and the path of
// file:///path come as they stand: they are no URL, and may hold any character.
func URL(raw string) string {
	if scheme, rest := plain(raw); scheme != "" {
		if strings.ContainsFunc(raw, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(raw) {
			return Redacted
		}
		if scheme == "file" {
			return raw
		}
		object, _, hidden := strings.Cut(raw, "?")
		if bucket, _, _ := strings.Cut(rest, "/"); strings.Contains(bucket, "@") {
			return Redacted
		}
		if hidden {
			object += "?" + strings.Trim(Redacted, "[]")
		}
		return object
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return Redacted
	}
	hidden := u.User != nil || u.RawQuery != "" || u.Fragment != ""
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	text := u.String()
	if hidden {
		text += "?" + strings.Trim(Redacted, "[]")
	}
	return text
}

// plain returns raw's scheme in lower case and what follows its "://", if that is s3 or
// file; else nothing.
func plain(raw string) (scheme, rest string) {
	scheme, rest, _ = strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if scheme != "s3" && scheme != "file" {
		return "", ""
	}
	return scheme, rest
}

// URLSecrets returns what [URL] leaves out: the password, the query, and each
// value in it that is long enough to be a credential.
func URLSecrets(raw string) []String {
	const minValue = 8
	if scheme, rest := plain(raw); scheme != "" {
		_, query, _ := strings.Cut(rest, "?")
		_, version, _ := strings.Cut(query, "=")
		if scheme == "file" || len(version) < minValue {
			return nil
		}
		return []String{New(query), New(version)}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return []String{New(raw)}
	}
	var found []String
	if password, ok := u.User.Password(); ok {
		found = append(found, New(password))
	}
	if u.RawQuery != "" {
		found = append(found, New(u.RawQuery))
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(value)
		for _, form := range []string{value, plain} {
			if err == nil && len(form) >= minValue {
				found = append(found, New(form))
			}
		}
	}
	return found
}
