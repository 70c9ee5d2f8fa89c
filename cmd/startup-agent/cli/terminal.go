package cli

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/term"
)

// terminalFile is a file that is a terminal.
type terminalFile struct{ *os.File }

// terminal returns w as the terminal that it is. A dumb one is none: it cannot
// go back, and knows no colours.
func terminal(w io.Writer) (terminalFile, bool) {
	f, ok := w.(*os.File)
	ok = ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	return terminalFile{f}, ok
}

// colored reports whether w may be given colours: see no-color.org.
func colored(w io.Writer) bool {
	_, ok := terminal(w)
	return ok && os.Getenv("NO_COLOR") == ""
}

// fit cuts text to the terminal's size, so that it can be drawn over: its first
// lines, and of each what fits.
func (t terminalFile) fit(text []byte) []byte {
	width, height, err := term.GetSize(int(t.Fd()))
	if err != nil || width <= 0 || height <= 1 {
		width, height = 80, 24
	}
	var out bytes.Buffer
	for i, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if i == height-1 {
			break
		}
		if runes := bytes.Runes(line); len(runes) > width {
			line = []byte(string(runes[:width]))
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes()
}
