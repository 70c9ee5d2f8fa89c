package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/document"
)

func TestEnvironmentKeepsValues(t *testing.T) {
	values := []string{
		"", "web", "=", "a=b=c", "env=prod,team=web", `say "hi"`, `"quoted"`, `k="v"`, `'single'`, "x=1,y", `{"a":"b=c"}`,
		"-Da=b,-Dc=d", "first=1\nsecond", "a\r\nb", "\ttab ", "  blanks  ", `back\slash`, "# no comment", ": colon", "é ü 漢",
		"- list", "null", "$(id)", "%s", "\x01\x1b[0m", "a,b", `,"`, "\"\n\"",
	}
	for _, first := range values {
		for _, second := range values {
			want := map[string]string{"A": first, "B": second}
			got, err := environment([]string{"A=" + first, "B=" + second})
			if err != nil {
				t.Fatalf("%q, %q: %v", first, second, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
		d := document.Document{URLs: []string{"https://b.example/w"}, Env: map[string]string{"A": first}}
		text, err := d.Marshal()
		if err != nil {
			t.Errorf("%q: %v", first, err)
			continue
		}
		if back, err := document.Parse(text); err != nil || back.Env["A"] != first {
			t.Errorf("%q comes back as %q, %v", first, back.Env["A"], err)
		}
	}
}

func TestEnvironmentRefuses(t *testing.T) {
	for _, flags := range [][]string{{"A"}, {""}, {"=b"}, {"stirringdullroots"}, {"A=1", "A=stirringdullroots"}} {
		env, err := environment(flags)
		if err == nil || env != nil {
			t.Errorf("%q: %v, %v", flags, env, err)
		} else if strings.Contains(err.Error(), "stirring") {
			t.Errorf("the value is shown: %v", err)
		}
	}
}
