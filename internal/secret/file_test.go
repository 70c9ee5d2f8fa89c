package secret_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"startup-bundle/internal/secret"
)

const ageKey = "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU"

func TestReadFile(t *testing.T) {
	for name, tt := range map[string]struct{ text, want, err string }{
		"one line":                        {"stirringdullroots\n", text, ""},
		"no line feed":                    {"stirringdullroots", text, ""},
		"CRLF":                            {"stirringdullroots\r\n", text, ""},
		"byte order mark":                 {"\ufeffstirringdullroots\n", text, ""},
		"blank lines after":               {"stirringdullroots\n\r\n\n", text, ""},
		"words, spaces and all":           {" two words \n", " two words ", ""},
		"a passphrase like a comment":     {"#1 passphrase\n", "#1 passphrase", ""},
		"as age-keygen writes it":         {"# created: 2026-01-01T00:00:00Z\n# public key: age1x\n" + ageKey + "\n", ageKey, ""},
		"as age-keygen writes it, CRLF":   {"# created: now\r\n# public key: age1x\r\n" + ageKey + "\r\n", ageKey, ""},
		"empty":                           {"", "", "empty"},
		"blank":                           {" \n", "", "empty"},
		"blank, CRLF":                     {"\r\n", "", "empty"},
		"two lines":                       {"stirringdullroots\nother\n", "", "more than one line"},
		"a blank line first":              {"\nstirringdullroots\n", "", "more than one line"},
		"two identities":                  {ageKey + "\n" + ageKey + "\n", "", "more than one line"},
		"a comment over a passphrase":     {"# mine\nstirringdullroots\n", "", "more than one line"},
		"a comment after the identity":    {ageKey + "\n# mine\n", ageKey, ""},
		"comments around the identity":    {"# a\n" + ageKey + "\n# mine\n", ageKey, ""},
		"a comment after a passphrase":    {"stirringdullroots\n# mine\n", "", "more than one line"},
		"a whole file by mistake":         {strings.Repeat("x", 4097), "", "larger than"},
		"as large as may be":              {strings.Repeat("x", 4096), strings.Repeat("x", 4096), ""},
		"identity, mark, CRLF, comments":  {"\ufeff# created: now\r\n# public key: age1x\r\n" + ageKey + "\r\n", ageKey, ""},
		"identity with blanks around":     {"  " + ageKey + " \t\n", ageKey, ""},
		"line ends of old Macs":           {"# created: now\r" + ageKey + "\r", ageKey, ""},
		"a carriage return within":        {"stirring\rdullroots\n", "", "more than one line"},
		"UTF-16, little endian":           {"\xff\xfes\x00t\x00", "", "save it as UTF-8"},
		"UTF-16, big endian":              {"\xfe\xff\x00s\x00t", "", "save it as UTF-8"},
		"UTF-16 without a mark":           {"s\x00t\x00i\x00r\x00", "", "save it as UTF-8"},
		"only comments":                   {"# created: now\n# public key: age1x\n", "", "more than one line"},
		"identity with a comment between": {"# a\n\n" + ageKey, "", "more than one line"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := secret.ReadFile(path)
			if tt.err == "" {
				if err != nil || got.Reveal() != tt.want {
					t.Errorf("%q, %v; want %q", got.Reveal(), err, tt.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), path) || got.IsSet() {
				t.Fatalf("error %v, want %q and the path", err, tt.err)
			}
			if strings.Contains(err.Error(), text) || strings.Contains(err.Error(), ageKey) {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
	if _, err := secret.ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := secret.ReadFile(t.TempDir()); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a folder: %v", err)
	}
}

func TestWriteFile(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o277, 0o777} {
		path := filepath.Join(t.TempDir(), "key")
		old := syscall.Umask(umask)
		err := secret.WriteFile(path, secret.New(text))
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("umask %o: mode %v, %v", umask, info.Mode(), err)
		}
		if got, err := secret.ReadFile(path); err != nil || !got.Equal(secret.New(text)) {
			t.Errorf("read back: %v", err)
		}
		if err := secret.WriteFile(path, secret.New("another")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("written over: %v", err)
		}
		if got, _ := secret.ReadFile(path); !got.Equal(secret.New(text)) {
			t.Error("the first key is lost")
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := secret.WriteFile(link, secret.New(text)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written through a link: %v", err)
	}
	if err := secret.WriteFile(filepath.Join(t.TempDir(), "no", "folder"), secret.New(text)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestURLSecrets(t *testing.T) {
	for raw, want := range map[string][]string{
		"https://b.example/web.bundle":                            nil,
		"https://user:pw@b.example/x":                             {"pw"},
		"https://user@b.example/x":                                nil,
		"https://b.example/x?Signature=a%2Bb456789&short=1":       {"Signature=a%2Bb456789&short=1", "a%2Bb456789", "a+b456789"},
		"https://b.example/%zz?sig=S":                             {"https://b.example/%zz?sig=S"},
		"https://b.example/x?bad=%zz45678901":                     {"bad=%zz45678901"},
		"https://u:p%40ss@b.example/x?X-Amz-Signature=0123456789": {"p@ss", "X-Amz-Signature=0123456789", "0123456789"},
	} {
		found := map[string]bool{}
		for _, s := range secret.URLSecrets(raw) {
			found[s.Reveal()] = true
		}
		for _, w := range want {
			if !found[w] {
				t.Errorf("%s: %q is not among %v", raw, w, found)
			}
			delete(found, w)
		}
		if len(found) > 0 {
			t.Errorf("%s: also %v", raw, found)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	for _, text := range []string{"pass\n", "# c\r\n" + ageKey + "\r\n", "\ufeffx", "a\nb", ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := secret.ParseFile(text)
		if err == nil != key.IsSet() {
			t.Fatalf("%v, and there is a key: %v", err, key.IsSet())
		}
		if strings.ContainsAny(key.Reveal(), "\n") {
			t.Error("a key of several lines")
		}
		if err != nil {
			return
		}
		if again, err := secret.ParseFile([]byte(key.Reveal() + "\n")); err == nil && !again.Equal(key) && !strings.HasPrefix(key.Reveal(), "\ufeff") {
			t.Errorf("%q is read back as %q", key.Reveal(), again.Reveal())
		}
	})
}
