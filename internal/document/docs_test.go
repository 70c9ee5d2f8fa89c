package document

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

func TestTheDocsNameEveryField(t *testing.T) {
	text, err := os.ReadFile("../../docs/userdata.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllSubmatch(text, -1) {
		documented = append(documented, string(row[1]))
	}
	if !slices.Equal(documented, fields()) {
		t.Errorf("the docs have %q, the code %q", documented, fields())
	}
	example := regexp.MustCompile(`(?m)^    #startup-bundle\n(    .*\n)+`).Find(text)
	if _, err := Parse(regexp.MustCompile(`(?m)^    `).ReplaceAll(example, nil)); err != nil {
		t.Errorf("the example: %v", err)
	}
}
