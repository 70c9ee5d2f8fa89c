package packer

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestTheDocsNameEveryFieldOfAPersonality(t *testing.T) {
	text, err := os.ReadFile("../docs/personality.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Personality](), reflect.TypeFor[Use]()} {
		for i := range typ.NumField() {
			row := "| `" + typ.Field(i).Tag.Get("yaml") + "` |"
			if !strings.Contains(string(text), row) {
				t.Errorf("no row %s", row)
			}
		}
	}
}
