package document

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"startup-bundle/internal/secret"
)

func secretOf(text string) secret.String { return secret.New(text) }

func checkURL(text string) (problem, hint string) {
	if strings.TrimSpace(text) == "" {
		return "is empty", `write "url: https://…"`
	}
	if strings.ContainsAny(text, " \t\r\n") {
		return "has a space or line break in it", "write %20 for a space"
	}
	u, err := url.Parse(text)
	if err != nil {
		return "is not an address", "look for a bad % escape, port or bracket"
	}
	switch u.Scheme {
	case "https", "http", "s3":
		if u.Hostname() == "" {
			return "names no host", "write " + u.Scheme + "://HOST/PATH"
		}
		if strings.Trim(u.Path, "/") == "" && u.Scheme == "s3" {
			return "names a bucket and no object", "write s3://BUCKET/KEY"
		}
	case "file":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return "is not an absolute path", "write file:///PATH, with three slashes"
		}
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
	case regexp.MustCompile(`^age1[a-z0-9]{50,}$`).MatchString(text):
		return "is an age recipient, which only encrypts", "write the identity that belongs to it: AGE-SECRET-KEY-…"
	}
	return "", ""
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
	case strings.ContainsAny(rest, " \t\r\n\x00"):
		return "has a space or line break in it", "write it on one line"
	case service == "file" && !strings.HasPrefix(rest, "/"):
		return "is not an absolute path", "write file:/PATH"
	}
	return "", ""
}

// checkEnvName takes the lower-case names too: http_proxy is one.
func checkEnvName(name string) (problem, hint string) {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
		return "has a name that no variable can have", "use letters, digits and _, and no digit first"
	}
	if strings.HasPrefix(name, "STARTUP_") || strings.HasPrefix(name, "OPT_") ||
		slices.Contains([]string{"PATH", "HOME", "PWD"}, name) {
		return "has a name that the agent sets itself", "rename it: STARTUP_…, OPT_…, PATH, HOME and PWD are taken"
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
	best, least := "", 3
	for _, field := range fields() {
		if d := distance(name, field); d < least && d < len(field) {
			best, least = field, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to make a of b.
func distance(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
