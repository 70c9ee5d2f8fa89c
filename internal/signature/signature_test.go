package signature_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
)

func noPassword() (secret.String, error) { return secret.String{}, errors.New("asked for a password") }

// pair makes a key and its files.
func pair(t *testing.T, password string) (key signature.SecretKey, public, secretFile string) {
	t.Helper()
	var word secret.String
	if password != "" {
		word = secret.New(password)
	}
	text, public, err := signature.Generate(word)
	if err != nil {
		t.Fatal(err)
	}
	secretFile = filepath.Join(t.TempDir(), "sign.key")
	if err := secret.WriteFile(secretFile, text); err != nil {
		t.Fatal(err)
	}
	key, err = signature.ReadSecretKey(secretFile, func() (secret.String, error) {
		if password == "" {
			return noPassword()
		}
		return word, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return key, public, secretFile
}

func parse(t *testing.T, text string) signature.Keys {
	t.Helper()
	keys, err := signature.ParseKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestVerify(t *testing.T) {
	a, publicA, _ := pair(t, "")
	b, publicB, _ := pair(t, "")
	message := []byte("message")
	by := func(k signature.SecretKey, text string) []byte {
		s, err := k.Sign([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tests := []struct {
		name, keys string
		signature  []byte
		want       string
		err        error
	}{
		{"signed", publicA, by(a, "message"), a.ID(), nil},
		{"signed by the second of two keys", publicA + publicB, by(b, "message"), b.ID(), nil},
		{"unsigned", publicA, nil, "", signature.ErrUnsigned},
		{"signed by a key that is not trusted", publicA, by(b, "message"), "", signature.ErrInvalid},
		{"another's signature", publicA, by(a, "other"), "", signature.ErrInvalid},
		{"garbage", publicA, []byte("garbage\n\n\n\n"), "", signature.ErrInvalid},
		{"oversized", publicA, append(by(a, "message"), make([]byte, signature.MaxSignature)...), "", signature.ErrInvalid},
		{"trusted comment changed", publicA, []byte(strings.Replace(string(by(a, "message")), "\ntrusted comment: startup", "\ntrusted comment: another", 1)), "", signature.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(t, test.keys).Verify(message, test.signature)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if id, err := (signature.Keys{}).Verify(message, by(a, "message")); err == nil {
		t.Errorf("no key trusts %s", id)
	}
}

func TestParseKeys(t *testing.T) {
	_, public, secretFile := pair(t, "")
	line := strings.Split(public, "\n")[1]
	good := map[string]string{
		"minisign's own file": public, "bare": line, "comments": "# who\n\n" + line + "\r\n# end", "twice": line + "\n" + line,
	}
	for name, text := range good {
		if keys := parse(t, text); len(keys) != 1 {
			t.Errorf("%s: %d keys", name, len(keys))
		}
	}
	text, err := os.ReadFile(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"empty": "", "comments only": "# none\n", "garbage": "garbage", "cut": line[:55], "a good and a bad one": line + "\nRW",
		"two on a line": line + " " + line, "a secret key": string(text), "too large": line + strings.Repeat("\n", signature.MaxKeys),
	}
	for name, text := range bad {
		if keys, err := signature.ParseKeys([]byte(text)); err == nil {
			t.Errorf("%s: %v", name, keys.IDs())
		}
	}
}

func TestPassword(t *testing.T) {
	key, _, file := pair(t, "long word")
	if key.ID() == "" {
		t.Error("no id")
	}
	_, err := signature.ReadSecretKey(file, func() (secret.String, error) { return secret.New("another"), nil })
	if !errors.Is(err, signature.ErrPassword) {
		t.Errorf("another password: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The stock program and this package read each other's keys and signatures.
func TestMinisign(t *testing.T) {
	program, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("minisign is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.Command(program, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("message", "message")
	key, public, _ := pair(t, "")
	write("ours.pub", public)
	ours, err := key.Sign([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	write("ours.minisig", string(ours))
	run("-V", "-p", "ours.pub", "-x", "ours.minisig", "-m", "message")

	run("-G", "-W", "-p", "theirs.pub", "-s", "theirs.key")
	run("-S", "-s", "theirs.key", "-x", "theirs.minisig", "-m", "message")
	theirs, err := os.ReadFile(filepath.Join(dir, "theirs.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signature.ReadKeys(filepath.Join(dir, "theirs.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Verify([]byte("message"), theirs); err != nil {
		t.Error(err)
	}
	read, err := signature.ReadSecretKey(filepath.Join(dir, "theirs.key"), noPassword)
	if err != nil || read.ID() != keys.IDs()[0] {
		t.Errorf("their secret key: %v, %v", read, err)
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("untrusted comment: minisign public key 1\nRWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"))
	f.Add([]byte("# none"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, err := signature.ParseKeys(text); err == nil && len(keys) == 0 {
			t.Error("no key, and no error")
		}
	})
}
