package aws

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func FuzzReadError(f *testing.F) {
	for _, text := range []string{
		"", "<", "{", "<Error><Code>NoSuchKey</Code><Message>m</Message><Region>eu-west-1</Region></Error>", "<Error><Code>\x00\x1b[31m</Code>",
		"<ErrorResponse><Error><Code>Throttling</Code><Message>m</Message></Error></ErrorResponse>", "<ErrorResponse><Code>no</Code></ErrorResponse>",
		`{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"m"}`, `{"__type":1}`, `{"Message":"` + strings.Repeat("ü", 400) + `"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var e Error
		readError(body, &e)
		for _, text := range []string{e.Code, e.Message} {
			if len(text) > 300 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", text)
			}
		}
	})
}

func FuzzObject(f *testing.F) {
	for _, raw := range []string{"s3://bucket/key", "s3://my.bucket/a b?versionId=1", "s3://b@d/k", "s3://bucket/%zz#?", "s3://", "https://bucket/k"} {
		f.Add(raw)
	}
	f.Setenv("AWS_ENDPOINT_URL", "")
	f.Setenv("AWS_ENDPOINT_URL_S3", "")
	c := New(Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := c.Object(raw)
		if err != nil {
			return
		}
		u, err := o.url("eu-west-1")
		if err != nil {
			t.Fatalf("%q is an object and has no URL: %v", raw, err)
		}
		if !strings.HasSuffix(u.Host, "s3.eu-west-1.amazonaws.com") || u.User != nil || u.EscapedPath() != u.RawPath {
			t.Errorf("%q is asked for at %s, path %q for %q", raw, u.Host, u.EscapedPath(), u.RawPath)
		}
		if o.version == "" && "s3"+raw[2:] != "s3://"+o.bucket+"/"+o.key && !strings.HasSuffix(raw, "?versionId=") {
			t.Errorf("%q became bucket %q, key %q", raw, o.bucket, o.key)
		}
	})
}
