package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"aead.dev/minisign"

	"startup-bundle/internal/files"
)

// MaxKeys is the largest file of public keys, in bytes.
const MaxKeys = 64 << 10

// untrusted begins the first line of minisign's own files, which may be put
// together into one file of keys as they are.
const untrusted = "untrusted comment:"

// ParseKeys reads public keys, one per line. Empty lines, lines that begin with
// #, and minisign's comment lines are passed over, as is a byte order mark. No key
// at all is an error.
func ParseKeys(text []byte) (Keys, error) {
	if len(text) > MaxKeys {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxKeys)
	}
	var keys Keys
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(string(text), "\ufeff"), "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, untrusted) {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !slices.ContainsFunc(keys, func(k minisign.PublicKey) bool { return k.Equal(key) }) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no public key")
	}
	return keys, nil
}

func parseKey(line string) (key minisign.PublicKey, err error) {
	if key.UnmarshalText([]byte(line)) != nil || key.String() != line {
		return key, errors.New("this is no public key of minisign: one is a line of 56 characters that starts with RW")
	}
	return key, nil
}

// ReadKeys reads a file of public keys.
func ReadKeys(path string) (Keys, error) {
	text, err := files.Read(path, MaxKeys)
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return keys, nil
}
