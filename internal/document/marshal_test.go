package document_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/strictyaml"
)

func TestMarshal(t *testing.T) {
	tests := map[string]struct {
		doc  document.Document
		want string
	}{
		"defaults are left out": {
			document.Document{URLs: []string{"https://b.example/w"}, Run: document.Once, Timeout: time.Hour},
			"#startup-bundle\nurl: https://b.example/w\n",
		},
		"zero values are the defaults": {
			document.Document{URLs: []string{"https://b.example/w"}}, "#startup-bundle\nurl: https://b.example/w\n",
		},
		"everything else is written": {
			document.Document{
				URLs: []string{"https://b.example/w", "s3://b/w"}, Key: secret.New("stirringdullroots"), SHA256: digest,
				OnFailure: document.Continue, Run: document.EveryBoot, Timeout: 90 * time.Second, OpenSSLIterations: 5,
				Env: map[string]string{"B": "", "A": "a b\n", "no": "no"},
			},
			"#startup-bundle\nurl:\n  - https://b.example/w\n  - s3://b/w\nkey: stirringdullroots\nsha256: \"" + digest +
				"\"\non_failure: continue\nrun: every-boot\ntimeout: \"1m30s\"\nopenssl_iterations: 5\n" +
				"env:\n  A: \"a b\\n\"\n  B: \"\"\n  \"no\": \"no\"\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.doc.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMarshalRefuses(t *testing.T) {
	url := []string{"https://b.example/w"}
	tests := map[string]document.Document{
		"no url":            {},
		"bad url":           {URLs: []string{"ftp://b.example/w"}},
		"two keys":          {URLs: url, Key: secret.New("k"), KeyFrom: "ssm:k"},
		"key of two lines":  {URLs: url, Key: secret.New("k\nl")},
		"key not UTF-8":     {URLs: url, Key: secret.New("k\xff")},
		"digest upper case": {URLs: url, SHA256: strings.ToUpper(digest)},
		"digest too short":  {URLs: url, SHA256: "abc"},
		"bad policy":        {URLs: url, Run: "weekly"},
		"negative timeout":  {URLs: url, Timeout: -time.Second},
		"reserved variable": {URLs: url, Env: map[string]string{"PATH": "/"}},
		"empty variable":    {URLs: url, Env: map[string]string{"": "/"}},
		"injected variable": {URLs: url, Env: map[string]string{"A: 1\nB": "2"}},
		"NUL":               {URLs: url, Env: map[string]string{"A": "a\x00b"}},
		"too large":         {URLs: url, Env: map[string]string{"A": strings.Repeat("x", document.MaxSize)}},
	}
	for name, doc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := doc.Marshal(); err == nil || got != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// The error of a refused document says which field.
func TestMarshalErrorIsTyped(t *testing.T) {
	_, err := document.Document{}.Marshal()
	var problem *document.Error
	if !errors.As(err, &problem) || problem.Field != "url" {
		t.Errorf("%v", err)
	}
}

// canary stands in every value of the fuzzed documents, and never in an error.
const canary = "cAn-ArY7"

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		head, head + "key: 007\n", head + "key: \"a\\u00e9\\x1b\"\nenv: {A: 'b', C: |\n  d\n}", "{\"url\": \"s3://b/k\"}",
		head + "env:\n  A: >-\n    b\n    c\n  D: e # f\n", "url: [https://h/a, file:///b]\ntimeout: 1m", head + "key_from: kms:AQ==\n---\n",
		"? a\n: b", "a: &x [*x]", "%YAML 1.2\n---\n", strings.Repeat("[", 300), strings.Repeat("- ", 300), "\t", "\"", "- - {", "a: |2+\n", head + "key: \"X\\ud83d\\ude00\"",
		"url: X\nkey: X\nX: X\nenv: {X: X}", "key: &X\n", "key: *X\n", "key: !X\n", "key: \"X\n", "\ufeff" + head + "env:\n  A: |+\n    X\n\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := document.Parse(bytes.ReplaceAll(text, []byte("X"), []byte(canary)))
		if err != nil {
			if strings.Contains(err.Error(), canary) || strings.ContainsFunc(err.Error(), func(r rune) bool { return strictyaml.Control(r) && r != '\n' }) {
				t.Fatalf("the error quotes the document: %q", err)
			}
			return
		}
		out, err := doc.Marshal()
		if err != nil {
			t.Fatalf("accepted and not written: %v", err)
		}
		again, err := document.Parse(out)
		if err != nil || !again.Equal(doc) {
			t.Fatalf("%v: %v", err, cmp.Diff(doc, again))
		}
	})
}

// FuzzMarshal holds Parse(Marshal(d)) == d for any text in any field.
func FuzzMarshal(f *testing.F) {
	f.Add("https://b.example/w", "007", "ROLE", "a: b # c")
	f.Add("file:///x y", "\u2028\u0085\ufeff\t", "no", "'\"\\\n\r\n ")
	f.Add("s3://b/k", "- x", "_", "|\n x")
	f.Fuzz(func(t *testing.T, url, key, name, value string) {
		doc := document.Document{URLs: []string{url}, Key: secret.New(key), Env: map[string]string{name: value}}
		text, err := doc.Marshal()
		if err != nil {
			return
		}
		got, err := document.Parse(text)
		if err != nil || got.Key.Reveal() != key || !slices.Equal(got.URLs, doc.URLs) || !maps.Equal(got.Env, doc.Env) {
			t.Fatalf("%q came back as %q %q %v, %v", text, got.URLs, got.Key.Reveal(), got.Env, err)
		}
	})
}
