package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"startup-bundle/internal/files"
)

// maxFile is the largest key file, in bytes.
const maxFile = 4096

// ReadFile reads a key file: a passphrase or an age identity on one line. Comment
// lines around an identity are passed over: age-keygen writes some above it, and
// startup-packer one below.
// Errors never quote the file.
func ReadFile(path string) (String, error) {
	f, err := os.Open(path)
	if err != nil {
		return String{}, fmt.Errorf("read key file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return String{}, fmt.Errorf("read key file: %w", err)
	}
	key, err := ParseFile(text)
	if err != nil {
		return String{}, fmt.Errorf("read key file %s: %w", path, err)
	}
	return key, nil
}

// ParseFile is ReadFile for what the file holds. A byte order mark, and the line
// ends of Windows, are not part of the key.
func ParseFile(text []byte) (String, error) {
	const identity = "AGE-SECRET-KEY-"
	switch {
	case len(text) > maxFile:
		return String{}, fmt.Errorf("it is larger than %d bytes: it should hold one line", maxFile)
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")), bytes.IndexByte(text, 0) >= 0:
		return String{}, errors.New("it is not plain text: save it as UTF-8; Windows tools write UTF-16 unless told otherwise")
	}
	plain := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(text), "\ufeff"))
	lines := strings.Split(strings.TrimRight(plain, "\n"), "\n")
	bare := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, "#") })
	if len(bare) == 1 && strings.HasPrefix(strings.TrimSpace(bare[0]), identity) {
		lines = []string{strings.TrimSpace(bare[0])}
	}
	switch {
	case len(lines) > 1:
		return String{}, errors.New("it holds more than one line: a passphrase or an age identity stands alone")
	case strings.TrimSpace(lines[0]) == "":
		return String{}, errors.New("it is empty")
	}
	return New(lines[0]), nil
}

// WriteFile makes a new key file, mode 0600, on disk when it returns. A file
// that is there already is never overwritten: it may be the only copy of a key.
// The comments, one line each, stand below it, so that what a shell makes of
// "key: $(cat FILE)" is still a document; only an age identity may have any.
func WriteFile(path string, key String, comments ...string) error {
	text := key.Reveal() + "\n"
	for _, c := range comments {
		text += "# " + c + "\n"
	}
	if err := files.WriteNew(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}
