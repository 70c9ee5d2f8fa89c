package userdata_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/userdata"
)

func TestParse(t *testing.T) {
	names := map[string]bool{}
	for _, s := range samples() {
		if names[s.name] {
			t.Errorf("two samples are called %q", s.name)
		}
		names[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			got, err := userdata.Parse([]byte(s.raw))
			if diff := cmp.Diff(s.want, outcome(got, err)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(s.warn, got.Warnings); diff != "" {
				t.Error(diff)
			}
			sum := sha256.Sum256([]byte(s.raw))
			if got.Digest != hex.EncodeToString(sum[:]) {
				t.Error("the digest is not of the raw bytes")
			}
			told := got.Foreign + strings.Join(got.Warnings, "")
			if err != nil {
				told += err.Error()
			}
			if strings.Contains(told, key) || strings.Contains(told, "b.example") {
				t.Errorf("the userdata is quoted: %s", told)
			}
		})
	}
	t.Logf("%d samples", len(names))
}

// outcome says in one text what came back, and that nothing else did.
func outcome(got userdata.Userdata, err error) string {
	parts := 0
	for _, set := range []bool{got.Document != nil, got.Script != nil, got.Foreign != ""} {
		if set {
			parts++
		}
	}
	switch {
	case err != nil && parts == 0 && got.Kind == "":
		return "error: " + err.Error()
	case got.Kind == userdata.None && parts == 0:
		return "none"
	case got.Kind == userdata.Script && parts == 1:
		return "script: " + string(got.Script)
	case got.Kind == userdata.Foreign && parts == 1:
		return "foreign: " + got.Foreign
	case got.Kind == userdata.Document && parts == 1:
		if got.Document.URLs[0] == "https://b.example/w" && got.Document.Key.Reveal() == key {
			return "document"
		}
	}
	return "nonsense"
}

func FuzzParse(f *testing.F) {
	for _, s := range samples() {
		if len(s.raw) < 2000 {
			f.Add([]byte(s.raw))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		got, err := userdata.Parse(raw)
		if string(raw) != before {
			t.Fatal("the raw bytes changed")
		}
		if outcomeIsOdd(got, err) {
			t.Fatalf("%+v, %v", got, err)
		}
		if len(got.Script) > userdata.MaxUnpacked*2 {
			t.Fatal("grew past the limit")
		}
	})
}

func outcomeIsOdd(got userdata.Userdata, err error) bool {
	switch {
	case len(got.Digest) != 64:
		return true
	case err != nil:
		return got.Kind != "" || got.Document != nil || got.Script != nil
	case got.Kind == userdata.Document:
		return got.Document == nil || len(got.Document.URLs) == 0
	case got.Kind == userdata.Script:
		return !strings.HasPrefix(string(got.Script), "#!")
	case got.Kind == userdata.Foreign:
		return got.Foreign == "" || got.Document != nil || got.Script != nil
	}
	return got.Kind != userdata.None
}
