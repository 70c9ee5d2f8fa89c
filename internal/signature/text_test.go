package signature_test

import (
	"os"
	"strings"
	"testing"

	"startup-bundle/internal/signature"
)

// Editors of Windows add a byte order mark, and end lines with CRLF.
func TestKeyFilesOfOtherEditors(t *testing.T) {
	_, public, _ := pair(t, "")
	for _, text := range []string{public, "untrusted comment: mine\n" + public, "# mine\n\n" + public} {
		for _, form := range []string{text, "\ufeff" + text, strings.ReplaceAll(text, "\n", "\r\n"), "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n")} {
			if keys, err := signature.ParseKeys([]byte(form)); err != nil || len(keys) != 1 {
				t.Errorf("%q: %d keys, %v", form, len(keys), err)
			}
		}
	}
	key, _, file := pair(t, "")
	plain, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"\ufeff" + string(plain), strings.ReplaceAll(string(plain), "\n", "\r\n")} {
		if err := os.WriteFile(file, []byte(form), 0o600); err != nil {
			t.Fatal(err)
		}
		if back, err := signature.ReadSecretKey(file, noPassword); err != nil || back.ID() != key.ID() {
			t.Errorf("%q: %v", form[:3], err)
		}
	}
}
