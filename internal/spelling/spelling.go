// Package spelling finds the known name that a mistyped one was meant to be.
package spelling

import "strings"

// Nearest returns the known name with the fewest edits from name, or "" if none is
// close: one edit for each three letters of the known name, at most two. Letter
// case does not count, and - and _ are the same.
func Nearest(name string, known []string) string {
	name = fold(name)
	for edits := range 3 {
		for _, k := range known {
			if edits <= len(k)/3 && Within(name, fold(k), edits) {
				return k
			}
		}
	}
	return ""
}

func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// Within reports whether at most that many edits turn a into b. An edit inserts,
// deletes or replaces one byte, or swaps two neighbours.
func Within(a, b string, edits int) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	switch {
	case a == "" || b == "":
		return len(a)+len(b) <= edits
	case edits == 0:
		return false
	case len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && Within(a[2:], b[2:], edits-1):
		return true
	}
	return Within(a[1:], b, edits-1) || Within(a, b[1:], edits-1) || Within(a[1:], b[1:], edits-1)
}
