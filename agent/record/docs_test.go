package record_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/record"
)

// What status --json prints is a contract, and docs/operations.md is where it stands.
func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for head, of := range map[string]any{"| field | |": record.Run{}, "| field of `bundle` | |": record.Bundle{}, "| field of `modules` | |": record.Module{}, "| field of `hooks` | |": record.Hook{}} {
		_, table, found := strings.Cut(string(text), "\n"+head+"\n")
		if !found {
			t.Errorf("there is no table %s", head)
			continue
		}
		table, _, _ = strings.Cut(table, "\n\n")
		documented, fields := map[string]bool{}, map[string]bool{}
		for row := range strings.Lines(table) {
			for _, name := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
				documented[name[1]] = true
			}
		}
		for i := range reflect.TypeOf(of).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(of).Field(i).Tag.Get("json"), ",")
			fields[name] = true
		}
		if diff := cmp.Diff(fields, documented); diff != "" {
			t.Errorf("%s: fields, and what is documented:\n%s", head, diff)
		}
	}
}
