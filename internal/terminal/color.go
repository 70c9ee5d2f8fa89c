package terminal

// Colours of a terminal, by ANSI escapes. Plain ends each.
const (
	Plain  = "\x1b[0m"
	Bold   = "\x1b[1m"
	Faint  = "\x1b[2m"
	Red    = "\x1b[31m"
	Green  = "\x1b[32m"
	Yellow = "\x1b[33m"
	Cyan   = "\x1b[36m"
)

// Paint returns text made safe to show by [Safe], in a colour. Without one it is
// only made safe.
func Paint(color, text string) string {
	text = Safe(text)
	if color == "" || text == "" {
		return text
	}
	return color + text + Plain
}
