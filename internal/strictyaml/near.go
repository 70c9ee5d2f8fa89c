package strictyaml

// Nearest returns the known name that differs from name by the fewest typing
// errors, at most two, or "".
func Nearest(name string, known []string) string {
	for edits := range 3 {
		for _, k := range known {
			if edits < len(k)-1 && Near(name, k, edits) {
				return k
			}
		}
	}
	return ""
}

// Near reports whether at most that many letters inserted, deleted, replaced or
// swapped with their neighbour turn a into b.
func Near(a, b string, edits int) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	switch {
	case a == "" || b == "":
		return len(a)+len(b) <= edits
	case edits == 0:
		return false
	case len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && Near(a[2:], b[2:], edits-1):
		return true
	}
	return Near(a[1:], b, edits-1) || Near(a, b[1:], edits-1) || Near(a[1:], b[1:], edits-1)
}
