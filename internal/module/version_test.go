package module_test

import (
	"testing"

	"startup-bundle/internal/module"
)

func TestParseVersion(t *testing.T) {
	for text, release := range map[string]bool{"0.0.0": true, "1.2.3": true, "1.20.300000000000000000000": true, "1.2.3-rc.1": false, "1.2.3-a-b": false} {
		v, err := module.ParseVersion(text)
		if err != nil || v.Release() != release || v.String() != text {
			t.Errorf("%s: %+v, release %v, %v", text, v, v.Release(), err)
		}
	}
	for _, text := range []string{"", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3.4", "1.2.3-", "1.2.3+build", "1.2.3\n"} {
		if v, err := module.ParseVersion(text); err == nil {
			t.Errorf("%q was read as %s", text, v)
		}
	}
}

func TestCompareReleases(t *testing.T) {
	ascending := []string{"0.0.1", "0.0.2", "0.0.10", "0.1.0", "0.9.9", "0.10.0", "1.0.0", "2.0.0", "10.0.0", "10.0.18446744073709551616"}
	for i, a := range ascending {
		for j, b := range ascending {
			v, err := module.ParseVersion(a)
			if err != nil {
				t.Fatal(err)
			}
			w, err := module.ParseVersion(b)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.CompareReleases(w); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}
