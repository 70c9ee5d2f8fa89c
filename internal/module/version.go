package module

import (
	"cmp"
	"fmt"
	"strings"
)

// Version is a semantic version, https://semver.org, without build metadata.
type Version struct {
	Major, Minor, Patch string // decimal, of any length, without leading zeros
	Pre                 string // what follows the hyphen; empty: a release
}

// ParseVersion reads 1.2.3 or 1.2.3-rc.1.
func ParseVersion(text string) (Version, error) {
	if !matches(versionForm, text) {
		return Version{}, fmt.Errorf("version %.80q is not like 1.2.3", text)
	}
	numbers, pre, _ := strings.Cut(text, "-")
	part := strings.Split(numbers, ".")
	return Version{part[0], part[1], part[2], pre}, nil
}

// Release reports whether the version is no prerelease.
func (v Version) Release() bool { return v.Pre == "" }

// String returns the version as it was read.
func (v Version) String() string {
	text := v.Major + "." + v.Minor + "." + v.Patch
	if v.Pre != "" {
		text += "-" + v.Pre
	}
	return text
}

// CompareReleases compares the numbers of two versions, and not what follows a
// hyphen: negative where v is the older one.
func (v Version) CompareReleases(w Version) int {
	return cmp.Or(compareNumbers(v.Major, w.Major), compareNumbers(v.Minor, w.Minor), compareNumbers(v.Patch, w.Patch))
}

func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
