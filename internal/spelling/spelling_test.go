package spelling_test

import (
	"testing"

	"startup-bundle/internal/spelling"
)

func TestNearest(t *testing.T) {
	known := []string{"test", "list", "text", "times", "max_memory", "m", "output"}
	for name, want := range map[string]string{
		"test":       "test",
		"tset":       "test", // a swap is one edit
		"tst":        "test",
		"tmies":      "times",
		"TIMES":      "times",
		"max-memory": "max_memory",
		"maxmemory":  "max_memory",
		"outptu":     "output",
		"out":        "", // three edits
		"tess":       "test",
		"tesss":      "", // two edits are too many for four letters
		"n":          "", // one letter is not enough to guess from
		"":           "",
		"frobnicate": "",
	} {
		if got := spelling.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestWithinIsSymmetric(t *testing.T) {
	words := []string{"", "a", "ab", "ba", "abc", "acb", "startup", "starutp", "start-up"}
	for _, a := range words {
		for _, b := range words {
			for edits := range 4 {
				if spelling.Within(a, b, edits) != spelling.Within(b, a, edits) {
					t.Errorf("Within(%q, %q, %d) differs from its mirror image", a, b, edits)
				}
			}
		}
	}
}
