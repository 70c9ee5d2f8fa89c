package timeline

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Measures of the picture, in its own units. It is narrow, so that its letters
// stay readable where it is as wide as a phone, and each bar has a line of its
// own for the text.
const (
	svgWidth  = 520
	svgMargin = 16
	svgHead   = 64
	svgRow    = 34
	svgBar    = 10
)

const svgStyle = `
  .page { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
  .title { font-size: 16px; font-weight: 600 } .quiet { fill: #656d76 } .end { text-anchor: end }
  .track { fill: #eff2f5 } .boot { fill: #afb8c1 } .phase { fill: #0969da } .part { fill: #54aeff }
  .attempt { fill: #1a7f37 } .failed { fill: #cf222e } .mark { fill: #bf8700 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #8d96a0 } .track { fill: #21262d }
    .boot { fill: #6e7681 } .phase { fill: #4493f8 } .part { fill: #1f6feb } .attempt { fill: #3fb950 }
    .failed { fill: #f85149 } .mark { fill: #d29922 }
  }
`

// SVG writes the timeline as a picture. It needs no script and no font, and
// follows the reader's light or dark theme.
func (t *Timeline) SVG(w io.Writer) error {
	height := svgHead + svgRow*len(t.Spans) + 2*svgMargin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" role="img" aria-label="%s">`+"\n",
		svgWidth, height, svgWidth, escape(t.Title()))
	fmt.Fprintf(&b, "<style>%s</style>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\" rx=\"8\"/>\n", svgStyle)
	text(&b, "title", svgMargin, 30, t.Title())
	text(&b, "quiet", svgMargin, 50, "started "+t.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	from := t.begin()
	whole := max(t.End-from, time.Millisecond)
	x := func(d time.Duration) float64 {
		return svgMargin + float64(d-from)/float64(whole)*(svgWidth-2*svgMargin)
	}
	for i, s := range t.Spans {
		s.draw(&b, x, svgHead+svgRow*i)
	}
	bottom := height - svgMargin
	text(&b, "quiet", svgMargin, bottom, scale(from))
	text(&b, "quiet end", svgWidth-svgMargin, bottom, scale(t.End))
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Span) draw(b *strings.Builder, x func(time.Duration) float64, top int) {
	indent := 0
	if s.Kind == Part || s.Kind == Attempt {
		indent = 14
	}
	text(b, "", svgMargin+indent, top+14, cut(s.Name, 34))
	text(b, "quiet end", svgWidth-svgMargin, top+14, cut(s.text(), 40))
	class := string(s.Kind)
	if s.Failed {
		class = "failed"
	} else if s.Retry {
		class = "mark"
	}
	fmt.Fprintf(b, `<rect class="track" x="%d" y="%d" width="%d" height="%d" rx="3"/>`+"\n", svgMargin, top+19, svgWidth-2*svgMargin, svgBar)
	fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="3"/>`+"\n", class, min(x(s.From), svgWidth-svgMargin-3), top+19, max(3, x(s.To)-x(s.From)), svgBar)
	for _, m := range s.Marks {
		fmt.Fprintf(b, `<rect class="mark" x="%.1f" y="%d" width="3" height="%d"/>`+"\n", min(x(m), svgWidth-svgMargin-3), top+17, svgBar+4)
	}
}

func text(b *strings.Builder, class string, x, y int, content string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(b, `<text%s x="%d" y="%d">%s</text>`+"\n", class, x, y, escape(content))
}

func escape(content string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(content))
	return b.String()
}
