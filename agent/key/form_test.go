package key_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"startup-bundle/agent/key"
	"startup-bundle/internal/secret"
)

const identity = "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU"

// kept returns the source and the caller for each place where text may be kept.
func kept(t *testing.T, text string) map[string]struct {
	from string
	aws  key.Caller
} {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	coded := base64.StdEncoding.EncodeToString([]byte(text))
	return map[string]struct {
		from string
		aws  key.Caller
	}{
		"file":           {"file:" + path, nil},
		"ssm":            {"ssm:/web", &service{answer: `{"Parameter":{"Value":` + string(quoted) + `}}`}},
		"secretsmanager": {"secretsmanager:web", &service{answer: `{"SecretString":` + string(quoted) + `}`}},
		"binary secret":  {"secretsmanager:web", &service{answer: `{"SecretBinary":"` + coded + `"}`}},
		"kms":            {"kms:AAAA", &service{answer: `{"Plaintext":"` + coded + `"}`}},
	}
}

// A key is read alike wherever it is kept, and as the packer reads a key file.
func TestAKeyIsReadAsAKeyFile(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"plain":                    {hidden, hidden},
		"a byte order mark":        {"\ufeff" + hidden + "\n", hidden},
		"a mark and CRLF":          {"\ufeff" + hidden + "\r\n", hidden},
		"blank lines after":        {hidden + "\n\r\n\n", hidden},
		"an identity":              {identity + "\n", identity},
		"age-keygen's comments":    {"# created: today\n# public key: age1x\n" + identity + "\n", identity},
		"the same, mark and CRLF":  {"\ufeff# created: today\r\n# public key: age1x\r\n" + identity + "\r\n", identity},
		"comments on a passphrase": {"# created: today\n" + hidden + "\n", ""},
		"two lines":                {hidden + "\r\nother", ""},
		"a NUL":                    {hidden + "\x00", ""},
		"only a mark":              {"\ufeff\r\n", ""},
	} {
		for place, at := range kept(t, test.text) {
			core, logs := observer.New(zap.DebugLevel)
			got, err := key.Resolve(t.Context(), key.Source{From: at.from}, key.Deps{Logger: zap.New(core), AWS: at.aws})
			if got.Reveal() != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%s, %s: got %q, %v", name, place, got.Reveal(), err)
			}
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("%s, %s: it leaks: %v", name, place, err)
			}
			told := logs.FilterMessageSnippet("carriage return").Len() > 0
			if want := strings.Contains(test.text, "\r") && test.want != ""; told != want {
				t.Errorf("%s, %s: told of a carriage return: %v", name, place, told)
			}
		}
	}
}

func TestDoubt(t *testing.T) {
	for text, doubted := range map[string]bool{
		`{"passphrase":"` + hidden + `"}`: true,
		`{"key": {"a": 1}}`:               true,
		" { } ":                           true,
		hidden:                            false,
		`{braces}`:                        false,
		`"quoted"`:                        false,
		"12345":                           false,
		"null":                            false,
		identity:                          false,
		"":                                false,
	} {
		doubt := key.Doubt(secret.New(text))
		if (doubt != "") != doubted || strings.Contains(doubt, hidden) {
			t.Errorf("%q: %q", text, doubt)
		}
	}
}
