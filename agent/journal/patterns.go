package journal

import (
	"bytes"
	"regexp"

	"startup-bundle/internal/secret"
)

// pattern is a form by which a secret is known that nobody has named: an
// identity of age, an access key of AWS, a presigned URL, a password in a URL.
// Its first group, if any, is kept.
type pattern struct {
	hint string // every match has it: looking for it is cheap
	form *regexp.Regexp
	keep string
}

// patterns returns the known forms. In a log line they may be escaped as JSON,
// so that an & can be \u0026.
func patterns() []pattern {
	const end = `[^\s"'<>&\\]+`
	redacted := secret.Redacted
	return []pattern{
		{"AGE-SECRET-KEY-", regexp.MustCompile(`AGE-SECRET-KEY-[0-9A-Z-]+`), redacted},
		{"AKIA", regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`), redacted},
		{"ASIA", regexp.MustCompile(`\bASIA[0-9A-Z]{16}\b`), redacted},
		{"ignature=", regexp.MustCompile(`((?:X-Amz-)?Signature=)` + end), "${1}" + redacted},
		{"X-Amz-", regexp.MustCompile(`(X-Amz-(?:Signature|Security-Token|Credential)=)` + end), "${1}" + redacted},
		{"oken", regexp.MustCompile(`(?i)(x-(?:amz|aws-ec2-metadata)[a-z-]*-token["']?\s*[:=]\s*["']?)[A-Za-z0-9+/=%_-]{16,}`), "${1}" + redacted},
		{"ecret", regexp.MustCompile(`(?i)(aws_?secret_?(?:access)?_?key\\?["']?\s*[:=]\s*\\?["']?)[A-Za-z0-9+/]{16,}={0,2}`), "${1}" + redacted},
		{"ECRET", regexp.MustCompile(`(AWS_SECRET_ACCESS_KEY=["']?)[A-Za-z0-9+/]{16,}={0,2}`), "${1}" + redacted},
		{"ESSION_TOKEN", regexp.MustCompile(`(AWS_SESSION_TOKEN=["']?)[A-Za-z0-9+/=]{16,}`), "${1}" + redacted},
		{"://", regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^\s/:@"'<>]*:)[^\s/@"'<>]+@`), "${1}" + redacted + "@"},
		{"PRIVATE KEY-", regexp.MustCompile(`(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|$)`), "${1}" + redacted + "${2}"},
	}
}

// Scrubber replaces what looks like a secret, though nobody knows it for one. It
// is for text that leaves the machine. Safe for concurrent use.
type Scrubber struct{ patterns []pattern }

// NewScrubber returns a scrubber.
func NewScrubber() Scrubber { return Scrubber{patterns()} }

// Bytes returns text with what looks like a secret replaced; text itself where
// nothing does.
func (s Scrubber) Bytes(text []byte) []byte {
	for _, p := range s.patterns {
		if bytes.Contains(text, []byte(p.hint)) {
			text = p.form.ReplaceAll(text, []byte(p.keep))
		}
	}
	return text
}

// around is how far from a cut a text with the form of a secret is looked for.
const around = 8 << 10

// spans returns where near an offset text looks like a secret. The span of one that
// text ends with goes beyond that.
func (s Scrubber) spans(text []byte, at int) (found []span) {
	from := max(0, at-around)
	window := text[from:min(len(text), at+around)]
	for _, p := range s.patterns {
		if bytes.Contains(window, []byte(p.hint)) {
			for _, m := range p.form.FindAllIndex(window, -1) {
				s := span{from + m[0], from + m[1]}
				if s.to == len(text) {
					s.to++ // it may go on
				}
				found = append(found, s)
			}
		}
	}
	return found
}
