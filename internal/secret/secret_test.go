package secret_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"startup-bundle/internal/secret"
)

const text = "stirringdullroots"

func TestStringNeverPrintsItself(t *testing.T) {
	s := secret.New(text)
	type outer struct {
		Exported   secret.String
		unexported secret.String
		pointer    *secret.String
	}
	nested := outer{s, s, &s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{s, &s, nested, &nested, []secret.String{s}, map[string]secret.String{"k": s}} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, text) || strings.Contains(got, fmt.Sprintf("%x", text)) {
				t.Errorf("%s of %T shows the secret: %s", verb, value, got)
			}
		}
	}
	out, err := json.Marshal(nested)
	if err != nil || strings.Contains(string(out), text) {
		t.Errorf("json: %s, %v", out, err)
	}
	if s.Reveal() != text || !s.IsSet() || !s.Equal(secret.New(text)) {
		t.Error("the secret is lost")
	}
	if none := secret.New(""); none.IsSet() || none.String() != "" || none.Equal(s) {
		t.Error("no secret looks like one")
	}
}

func TestURL(t *testing.T) {
	tests := map[string]string{
		"https://b.example/web.bundle":                             "https://b.example/web.bundle",
		"https://user:pw@b.example/web.bundle":                     "https://b.example/web.bundle?redacted",
		"https://b.example/x?AWSAccessKeyId=A&Signature=S":         "https://b.example/x?redacted",
		"https://b.example/x#frag":                                 "https://b.example/x?redacted",
		"s3://bucket/a%20key?versionId=1":                          "s3://bucket/a%20key?redacted",
		"https://b.example/%zz?sig=S":                              secret.Redacted,
		"file:///var/cache/web.bundle":                             "file:///var/cache/web.bundle",
		"s3://bucket/my 100% file#1":                               "s3://bucket/my 100% file#1",
		"s3://bucket/a b?versionId=3sL4kqtJ":                       "s3://bucket/a b?redacted",
		"S3://bucket/a?b":                                          "S3://bucket/a?redacted",
		"s3://user:pw@bucket/a":                                    secret.Redacted,
		"s3://bucket/\x1b[31m":                                     secret.Redacted,
		"s3://bucket/\xff":                                         secret.Redacted,
		"file:///a folder/100%25?x#y":                              "file:///a folder/100%25?x#y",
		"mailto:s3cret@b.example":                                  secret.Redacted,
		"https://b.example/?":                                      "https://b.example/",
		"https://b.example/\x7f?X-Amz-Signature=0123456789abcdef0": secret.Redacted,
	}
	for raw, want := range tests {
		if got := secret.URL(raw); got != want {
			t.Errorf("URL(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestAnObjectsKeyIsNoSecret(t *testing.T) {
	for raw, want := range map[string][]string{
		"s3://bucket/100%.bundle":                 nil,
		"s3://bucket/my file":                     nil,
		"s3://bucket/my file?versionId=3sL4kqtJ0": {"versionId=3sL4kqtJ0", "3sL4kqtJ0"},
		"file:///srv/100%?signature=0123456789":   nil,
	} {
		var got []string
		for _, s := range secret.URLSecrets(raw) {
			got = append(got, s.Reveal())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
