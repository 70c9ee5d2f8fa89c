package upkeep

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"

	"startup-bundle/internal/bundle"
)

// What a diff shows at most.
const (
	maxDiffFile = 64 << 10 // bytes of one file; larger ones are only named
	maxDiff     = 256 << 10
)

// compare describes what became of a module's files; before may be empty: there is
// nothing to compare with.
func compare(ctx context.Context, before, after string) (string, error) {
	old := map[string]bundle.Entry{}
	if before != "" {
		var err error
		if old, err = entries(ctx, before); err != nil {
			return "", err
		}
	}
	now, err := entries(ctx, after)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	names := maps.Clone(old)
	maps.Copy(names, now)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if b.Len() > maxDiff {
			b.WriteString("… and more\n")
			break
		}
		was, had := old[name]
		is, has := now[name]
		switch {
		case names[name].Mode.IsDir():
		case !has:
			fmt.Fprintf(&b, "removed %s\n", name)
		case !had:
			fmt.Fprintf(&b, "added %s (%d bytes)\n", name, is.Size)
			b.WriteString(textDiff("", filepath.Join(after, name), name))
		case was.Link != is.Link:
			fmt.Fprintf(&b, "changed %s: a link to %q, not to %q\n", name, is.Link, was.Link)
		default:
			if was.Mode != is.Mode {
				fmt.Fprintf(&b, "changed %s: mode %v, not %v\n", name, is.Mode, was.Mode)
			}
			b.WriteString(fileDiff(filepath.Join(before, name), filepath.Join(after, name), name, was, is))
		}
	}
	return visible(b.String()), nil
}

// visible writes out what a terminal would obey or not show: control characters,
// and those that change the direction of a text.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

func entries(ctx context.Context, dir string) (map[string]bundle.Entry, error) {
	tree, err := bundle.Scan(ctx, dir)
	if err != nil {
		return nil, err
	}
	found := map[string]bundle.Entry{}
	for _, e := range tree.Entries {
		found[e.Path] = e
	}
	return found, nil
}

// fileDiff describes what became of one file.
func fileDiff(before, after, name string, was, is bundle.Entry) string {
	if was.Same(is) {
		return ""
	}
	if text := textDiff(before, after, name); text != "" {
		return text
	}
	return fmt.Sprintf("changed %s (%d bytes, not %d)\n", name, is.Size, was.Size)
}

// textDiff returns a unified diff, or nothing where there is none to read.
func textDiff(before, after, name string) string {
	old, ok := readText(before)
	now, ok2 := readText(after)
	if !ok || !ok2 {
		return ""
	}
	return string(diff.Diff("a/"+name, old, "b/"+name, now))
}

func readText(path string) ([]byte, bool) {
	if path == "" {
		return nil, true
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxDiffFile {
		return nil, false
	}
	text, err := os.ReadFile(path)
	if err != nil || !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, false
	}
	return text, true
}
