package document_test

import (
	"strings"
	"testing"

	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
)

// An address is written, read, and shown as the same text, whatever its key or path
// holds; shown, it can be given to the next command.
func TestAddressesStandForThemselves(t *testing.T) {
	for _, url := range []string{
		"s3://bucket/my file.bundle", "s3://bucket/100%.bundle", "s3://bucket/a%20b", "s3://bucket/%zz", "s3://bucket/a#b", "s3://bucket/a: b # c",
		"s3://bucket/'quoted' \"twice\"\\", "s3://bucket/ü ☃", "s3://bucket/a@b:c", "s3://bucket/[x]{y}", "s3://bucket//a//b", "s3://bucket/ a ", "s3://bucket/-",
		"file:///srv/a folder/b", "file:///srv/a%20folder/b", "file:///srv/100%25", "file:///srv/a?b#c", "file:///srv/ü ☃ 'x'",
		"https://b.example/a%20b", "https://b.example/a+b;c",
	} {
		text, err := document.Document{URLs: []string{url}}.Marshal()
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		back, err := document.Parse(text)
		if err != nil || len(back.URLs) != 1 || back.URLs[0] != url {
			t.Errorf("%s comes back as %q: %v", url, back.URLs, err)
		}
		if shown := secret.URL(url); shown != url || document.CheckURL(shown) != nil {
			t.Errorf("%s is shown as %s", url, shown)
		}
	}
	for url, advice := range map[string]string{
		"s3://bucket/a\tb": "control", "s3://bucket/a\nb": "control", "s3://bucket/a\x00b": "control", "s3://bucket/a\x1b[31m": "control",
		"s3://bucket": "KEY", "s3://bucket/": "KEY", "s3:///key": "BUCKET", "s3:bucket/key": "BUCKET",
		"file:///srv/100%": "%25", "file:///srv/%zz": "%25", "file:///srv/%00": "%25", "file:///srv/a%0Ab": "%25",
		"file://host/srv": "three slashes", "file:srv": "three slashes", "file:/srv": "three slashes", "file://srv": "three slashes",
		"https://b.example/a b": "%20", "http://b.example/a b": "%20", "https:///b": "HOST", "ftp://b.example/": "https", "b.example/b": "https",
		"https://b.example/\xff": "control", "": "https",
	} {
		err := document.CheckURL(url)
		if err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("%q: %v", url, err)
		}
		if text, err := (document.Document{URLs: []string{url}}).Marshal(); err == nil {
			t.Errorf("%q is written as %s", url, text)
		}
	}
}

func TestTheKeysPathMayHoldASpace(t *testing.T) {
	for text, good := range map[string]bool{
		"file:/etc/a folder/100% key": true, "file:/etc/a\tb": false, "file:/etc/a\nb": false, "ssm:/a b": false, "kms:a b": false,
	} {
		_, err := document.Document{URLs: []string{"https://b.example/b"}, KeyFrom: text}.Marshal()
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
