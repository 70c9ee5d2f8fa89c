package document

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/spelling"
)

// What may be written; none of these ever changes.
const (
	ageRecipient = `^age1[a-z0-9]{50,}$`
	envName      = `^[A-Za-z_][A-Za-z0-9_]*$`
)

// CheckURL returns an error that says what is wrong with an address of a bundle, or
// nil. It does not quote the address.
func CheckURL(text string) error {
	problem, hint := checkURL(text)
	if problem == "" {
		return nil
	}
	return fmt.Errorf("it %s: %s", problem, hint)
}

func checkURL(text string) (problem, hint string) {
	if strings.TrimSpace(text) == "" {
		return "is empty", `write "url: https://…"`
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "has a line break or another control character in it", "remove it, or rename the file"
	}
	scheme, rest, found := strings.Cut(text, "://")
	switch strings.ToLower(scheme) {
	case "s3":
		bucket, key, _ := strings.Cut(rest, "/")
		switch {
		case bucket == "":
			return "names no host", "write s3://BUCKET/KEY"
		case strings.Trim(key, "/") == "":
			return "names a bucket and no object", "write s3://BUCKET/KEY"
		}
		return "", "" // the key is what follows, as it stands
	case "file":
		path, err := url.PathUnescape(rest)
		switch {
		case !strings.HasPrefix(rest, "/") || !found:
			return "is not an absolute path", "write file:///PATH, with three slashes"
		case err != nil || strings.ContainsFunc(path, unicode.IsControl):
			return "has a bad % escape", "write %25 for a % in the path"
		}
		return "", ""
	}
	if strings.ContainsAny(text, " ") {
		return "has a space or line break in it", "write %20 for a space"
	}
	u, err := url.Parse(text)
	if err != nil {
		return "is not an address", "look for a bad % escape, port or bracket"
	}
	switch u.Scheme {
	case "https", "http":
		if u.Hostname() == "" {
			return "names no host", "write " + u.Scheme + "://HOST/PATH"
		}
	case "s3":
		return "names no host", "write s3://BUCKET/KEY"
	case "file":
		return "is not an absolute path", "write file:///PATH, with three slashes"
	case "":
		return "has no scheme", "start it with https:// (or http:// s3:// file:///)"
	default:
		return "has a scheme that is not known", "use https, http, s3 or file"
	}
	return "", ""
}

func checkKey(text string) (problem, hint string) {
	switch {
	case strings.Contains(text, "AGE-SECRET-KEY-") && strings.ContainsAny(text, " \t\r\n"):
		return "holds more than one age identity", "keep the line that starts with AGE-SECRET-KEY-, without the comments"
	case strings.ContainsAny(text, "\r\n"):
		return "has a line break in it", `write it on one line, after "key: "`
	case strings.ContainsRune(text, 0):
		return "holds a NUL character", "remove it"
	case matches(ageRecipient, text):
		return "is an age recipient, which only encrypts", "write the identity that belongs to it: AGE-SECRET-KEY-…"
	case isMeantAsIdentity(text):
		if _, err := bundle.Identity(secret.New(text)); err != nil {
			return "is a mistyped or truncated age identity", "copy the whole line that starts with AGE-SECRET-KEY- from the key file"
		}
	}
	return "", ""
}

// isMeantAsIdentity reports whether text begins as an age identity does, or nearly so:
// a passphrase would hardly.
func isMeantAsIdentity(text string) bool {
	const begin = "AGE-SECRET-KEY-"
	text = strings.ToUpper(text)
	return strings.HasPrefix(text, begin[:10]) || len(text) > len(begin) && spelling.Within(text[:len(begin)], begin, 2)
}

func checkKeyFrom(text string) (problem, hint string) {
	service, rest, found := strings.Cut(text, ":")
	if !found || !slices.Contains([]string{"ssm", "secretsmanager", "kms", "file"}, service) {
		return "does not start with ssm: secretsmanager: kms: or file:",
			`if this is the key itself, the field is "key"`
	}
	switch {
	case strings.TrimSpace(rest) == "":
		return "names nothing after " + service + ":", "add the name, for example ssm:/web/bundle-key"
	case service != "file" && strings.Contains(rest, " "), strings.ContainsFunc(rest, unicode.IsControl):
		return "has a space or line break in it", "write it on one line"
	case service == "file" && !strings.HasPrefix(rest, "/"):
		return "is not an absolute path", "write file:/PATH"
	}
	return "", ""
}

// nearest returns the known field that name was meant to be, or "".
func nearest(name string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	switch name {
	case "urls", "uri", "bundle", "bundle_url", "source", "mirrors":
		return "url"
	case "passphrase", "password", "secret", "bundle_key", "identity":
		return "key"
	case "keyfrom", "key_ref", "key_source":
		return "key_from"
	case "digest", "checksum", "sha", "sha_256", "hash":
		return "sha256"
	case "environment", "variables", "vars":
		return "env"
	case "iterations", "iter", "pbkdf2":
		return "openssl_iterations"
	}
	return spelling.Nearest(name, fields())
}

// NearMagic reports whether line, which is not [Magic], was meant to be it.
func NearMagic(line string) bool {
	if len(line) > 64 || strings.Contains(line, "://") {
		return false
	}
	letters := strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, strings.ToLower(line))
	const want = "startupbundle"
	return strings.HasPrefix(letters, want) || spelling.Within(letters, want, 3) ||
		strings.HasPrefix(line, "#") && strings.HasPrefix(letters, "startupagent")
}

// matches reports whether text has a form. Forms are compiled where one is asked
// for: that is seldom, and each start of a program would pay for all of them.
func matches(form, text string) bool { return regexp.MustCompile(form).MatchString(text) }
