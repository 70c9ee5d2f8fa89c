package push

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
)

func TestTargetsAreReadAsTheAgentReadsThem(t *testing.T) {
	for text, want := range map[string]string{
		"s3://bucket/web.bundle":    "s3://bucket/web.bundle",
		"s3://bucket/a b/ü+%20":     "s3://bucket/a b/ü+%20",
		"s3://bucket/folder/":       "s3://bucket/folder/x.bundle",
		"s3://bucket/":              "s3://bucket/x.bundle",
		"s3://bucket":               "s3://bucket/x.bundle",
		"s3://bucket/a//":           "s3://bucket/a//x.bundle",
		"s3://bucket/my 100%# file": "s3://bucket/my 100%# file",
		"s3://bucket/a\tb":          "",
		"s3://bucket/a\nb":          "",
		"s3://bucket/a\x1b[m":       "",
		"s3://bucket/\xff":          "",
		"s3://bucket/web?versionId": "",
		"s3://":                     "",
		"s3:///web.bundle":          "",
		"https://bucket/web.bundle": "",
		"bucket/web.bundle":         "",
	} {
		got, err := parseTarget(text, "x.bundle")
		if want == "" {
			if err == nil {
				t.Errorf("%s is taken for %s", text, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	if got := (target{"b", "k"}).url("a+b/c"); got != "s3://b/k?versionId=a%2Bb%2Fc" {
		t.Errorf("with a version: %s", got)
	}
	if got := (target{"b", "k"}).url("null"); got != "s3://b/k" {
		t.Errorf("without versions: %s", got)
	}
}

func TestOnlyBundlesArePushed(t *testing.T) {
	for name, content := range map[string]string{
		"an identity":  "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ\n",
		"a passphrase": "stirringdullroots\n",
		"userdata":     "#startup-bundle\nurl: https://bucket.example/web.bundle\nkey: stirringdullroots\n",
		"nothing":      "",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		// Nothing is asked of anybody before the file is known to be a bundle.
		_, err := Run(t.Context(), Options{File: path, Target: "s3://bucket/file", Endpoint: "http://127.0.0.1:9"})
		if err == nil || !strings.Contains(err.Error(), "not a bundle") || strings.Contains(err.Error(), "stirring") || strings.Contains(err.Error(), "QQQQ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProgressOnlyGrows(t *testing.T) {
	var said []int64
	p := &progress{total: 20, report: func(done, _ int64) { said = append(said, done) }}
	for _, n := range []int64{5, 15, 10, 15, 22} {
		p.OnObjectBytesTransferred(t.Context(), &transfermanager.ObjectBytesTransferredEvent{BytesTransferred: n})
	}
	if !slices.Equal(said, []int64{5, 15, 20}) {
		t.Errorf("said %v", said)
	}
}
