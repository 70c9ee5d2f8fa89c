package signing_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"startup-bundle/internal/secret"
	"startup-bundle/internal/signature"
	"startup-bundle/packer/signing"
)

func newKey(t *testing.T) (signature.SecretKey, signature.Keys) {
	t.Helper()
	text, public, err := signature.Generate(secret.String{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := secret.WriteFile(path, text); err != nil {
		t.Fatal(err)
	}
	key, err := signature.ReadSecretKey(path, func() (secret.String, error) { return secret.String{}, errors.New("no password") })
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signature.ParseKeys([]byte(public))
	if err != nil {
		t.Fatal(err)
	}
	return key, keys
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestModuleSignature(t *testing.T) {
	key, keys := newKey(t)
	other, _ := newKey(t)
	tests := []struct {
		name   string
		attack func(dir string)
		err    error
	}{
		{"signed", func(string) {}, nil},
		{"signed again", func(dir string) {
			write(t, filepath.Join(dir, "start"), "#!/bin/sh\ntrue\n")
			if err := signing.SignModule(t.Context(), dir, "web", key); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"unsigned", func(dir string) { os.Remove(filepath.Join(dir, signing.FileName)) }, signature.ErrUnsigned},
		{"signed by another key", func(dir string) {
			if err := signing.SignModule(t.Context(), dir, "web", other); err != nil {
				t.Fatal(err)
			}
		}, signature.ErrInvalid},
		{"signed under another name", func(dir string) {
			if err := signing.SignModule(t.Context(), dir, "db", key); err != nil {
				t.Fatal(err)
			}
		}, signature.ErrInvalid},
		{"file changed", func(dir string) { write(t, filepath.Join(dir, "start"), "#!/bin/sh\nfalse\n") }, signature.ErrInvalid},
		{"exec bit changed", func(dir string) { os.Chmod(filepath.Join(dir, "start"), 0o644) }, signature.ErrInvalid},
		{"extra file", func(dir string) { write(t, filepath.Join(dir, "extra"), "") }, signature.ErrInvalid},
		{"version changed", func(dir string) { write(t, filepath.Join(dir, "module.yaml"), "version: 2.0.0\n") }, signature.ErrInvalid},
		{"signature is a link", func(dir string) {
			path := filepath.Join(dir, signing.FileName)
			if err := errors.Join(os.Rename(path, filepath.Join(dir, "moved")), os.Symlink("moved", path)); err != nil {
				t.Fatal(err)
			}
		}, signature.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "web")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "start"), "#!/bin/sh\n")
			write(t, filepath.Join(dir, "module.yaml"), "version: 1.0.0\n")
			if err := signing.SignModule(t.Context(), dir, "web", key); err != nil {
				t.Fatal(err)
			}
			test.attack(dir)
			id, err := signing.VerifyModule(t.Context(), dir, "web", keys)
			if !errors.Is(err, test.err) || (err == nil) != (id == key.ID()) {
				t.Errorf("%q, %v", id, err)
			}
		})
	}
}

func FuzzStatement(f *testing.F) {
	f.Add("web", "1.0.0", "sha256:00")
	f.Add("web", "1\nname db", "")
	f.Fuzz(func(t *testing.T, name, version, _ string) {
		text, err := signing.Statement(name, version, "sha256:00")
		lines := 0
		for _, b := range text {
			if b == '\n' {
				lines++
			}
		}
		if err == nil && lines != 4 {
			t.Errorf("%d lines: %q", lines, text)
		}
	})
}
