package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Measures of a terminal, in pixels.
const (
	columns   = 80
	cell      = 8.4
	lineSpace = 19
	margin    = 18
	titleBar  = 36
)

// terminal draws text with ANSI colours as a terminal of 80 columns shows it.
func terminal(title string, text []byte) []byte {
	var rows [][]piece
	for line := range bytes.Lines(bytes.TrimRight(text, "\n")) {
		rows = append(rows, wrapped(pieces(strings.TrimRight(string(line), "\n")))...)
	}
	width, height := int(columns*cell)+2*margin, titleBar+lineSpace*len(rows)+margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" role="img" aria-label="%s">`+"\n", width, height, width, escaped(title))
	b.WriteString(`<style>
  .page { fill: #0d1117 } text { fill: #e6edf3; font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
  .title, .c2 { fill: #8d96a0 } .c31 { fill: #ff7b72 } .c33 { fill: #d29922 } .c36 { fill: #39c5cf }
</style>
<rect class="page" width="100%" height="100%" rx="8"/>
<circle cx="22" cy="20" r="6" fill="#ff5f57"/><circle cx="42" cy="20" r="6" fill="#febc2e"/><circle cx="62" cy="20" r="6" fill="#28c840"/>
`)
	fmt.Fprintf(&b, "<text class=\"title\" x=\"84\" y=\"25\">%s</text>\n", escaped(title))
	for i, row := range rows {
		column := 0
		for _, p := range row {
			shown := strings.TrimLeft(p.text, " ")
			column += len(p.text) - len(shown)
			n := utf8.RuneCountInString(shown)
			if n > 0 {
				fmt.Fprintf(&b, `<text class="c%s" x="%.1f" y="%d" textLength="%.1f">%s</text>`+"\n",
					p.color, margin+float64(column)*cell, titleBar+lineSpace*i+lineSpace, float64(n)*cell, escaped(shown))
			}
			column += n
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// piece is text of one colour, by its ANSI number.
type piece struct{ color, text string }

// pieces splits a line at its escapes.
func pieces(line string) []piece {
	var found []piece
	color := "0"
	for line != "" {
		before, after, ok := strings.Cut(line, "\x1b[")
		if before != "" {
			found = append(found, piece{color, before})
		}
		if !ok {
			break
		}
		color, line, _ = strings.Cut(after, "m")
	}
	return found
}

// wrapped breaks a row at the terminal's last column, between words where it can.
func wrapped(row []piece) [][]piece {
	rows, left := [][]piece{nil}, columns
	for _, p := range row {
		text := []rune(p.text)
		for len(text) > 0 {
			n := min(left, len(text))
			if n < len(text) {
				if space := strings.LastIndexByte(string(text[:n]), ' '); space >= 0 {
					n = utf8.RuneCountInString(string(text[:n])[:space]) + 1
				} else if left < columns {
					n = 0
				}
			}
			if n == 0 {
				last := rows[len(rows)-1]
				rows, left = append(rows, nil), columns
				// A word whose colour changes within stays one.
				if k := len(last) - 1; k > 0 && !strings.Contains(last[k].text, " ") && strings.HasSuffix(last[k-1].text, " ") {
					rows[len(rows)-2], rows[len(rows)-1] = last[:k], []piece{last[k]}
					left -= utf8.RuneCountInString(last[k].text)
				}
				continue
			}
			rows[len(rows)-1] = append(rows[len(rows)-1], piece{p.color, string(text[:n])})
			text, left = text[n:], left-n
		}
	}
	return rows
}

func escaped(text string) string {
	var b strings.Builder
	// No-break spaces: a run of others is drawn as one.
	_ = xml.EscapeText(&b, []byte(strings.ReplaceAll(text, " ", "\u00a0")))
	return b.String()
}
