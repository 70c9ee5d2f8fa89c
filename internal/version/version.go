// Package version knows which build a program is.
package version

import "runtime/debug"

// linked is set by the linker: -X startup-bundle/internal/version.linked=v1.2.3.
var linked string

// String returns the version of the running program: what the linker was given,
// else the commit that go build noted, else "devel".
func String() string {
	if linked != "" {
		return linked
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if len(revision) < 12 {
		return "devel"
	}
	return "devel-" + revision[:12] + dirty
}
