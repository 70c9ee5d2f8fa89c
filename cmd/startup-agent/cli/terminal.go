package cli

import (
	"bytes"
	"os"

	"golang.org/x/term"

	"startup-bundle/agent/screen"
	"startup-bundle/internal/terminal"
)

// terminalFile is a file that is a terminal.
type terminalFile struct{ *os.File }

// onTerminal returns the terminal that w writes to, if it is one. A dumb terminal
// does not count: it can neither move the cursor nor show colours.
func onTerminal(w *terminal.Writer) (terminalFile, bool) {
	f, ok := w.File()
	ok = ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	return terminalFile{f}, ok
}

// colored reports whether w may be given colours: see no-color.org.
func colored(w *terminal.Writer) bool {
	_, ok := onTerminal(w)
	return ok && os.Getenv("NO_COLOR") == ""
}

// style returns how a screen is written to w.
func style(w *terminal.Writer) screen.Style {
	out, ok := onTerminal(w)
	if !ok {
		return screen.Style{}
	}
	return screen.Style{Width: out.width(), Color: colored(w)}
}

// size returns the terminal's columns and lines.
func (t terminalFile) size() (width, height int) {
	width, height, err := term.GetSize(int(t.Fd()))
	if err != nil || width <= 0 || height <= 1 {
		return screen.Width, 24
	}
	return width, height
}

func (t terminalFile) width() int {
	width, _ := t.size()
	return width
}

// fit cuts text to the terminal's size, so that it can be drawn over: its first
// lines, and of each what fits.
func (t terminalFile) fit(text []byte) []byte {
	width, height := t.size()
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
