package document_test

import (
	"strings"
	"testing"

	"startup-bundle/internal/document"
)

const identity = "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU"

// Every way to lose or change one character of an identity is found, by its checksum.
func TestMistypedIdentityIsAnErrorAtItsLine(t *testing.T) {
	wrong := map[string]string{
		"lower case": strings.ToLower(identity), "twice": identity + identity, "with more": identity + "A",
		"post-quantum, cut": "AGE-SECRET-KEY-PQ-1QQQ", "prefix alone": "AGE-SECRET-KEY-", "quoted again": "AGE-SECRET-KEY-…",
	}
	for i := range identity {
		if i >= 10 {
			wrong["cut at "+identity[:i]] = identity[:i]
		}
		wrong["without "+identity[:i]] = identity[:i] + identity[i+1:]
		other := "Q"
		if identity[i] == 'Q' {
			other = "P"
		}
		wrong["changed at "+identity[:i]] = identity[:i] + other + identity[i+1:]
	}
	for name, key := range wrong {
		_, err := document.Parse([]byte("#startup-bundle\nurl: https://host.example/a\nkey: \"" + key + "\"\n"))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		want := "line 3, column 6: key: is a mistyped or truncated age identity; copy the whole line"
		if !strings.HasPrefix(err.Error(), want) || len(key) > 20 && strings.Contains(err.Error(), key[15:]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysThatAreNoIdentitiesAreLeftAlone(t *testing.T) {
	for _, key := range []string{identity, "age", "AGE", "agency-secret", "stirringdullroots", "AGE-OLD-KEY-1QQQQQQQQQQ", "a secret key"} {
		doc, err := document.Parse([]byte("#startup-bundle\nurl: https://host.example/a\nkey: \"" + key + "\"\n"))
		if err != nil || doc.Key.Reveal() != key {
			t.Errorf("%q: %v", key, err)
		}
	}
}
