package main

import (
	"fmt"
	"strings"
	"time"
)

// The chart's measures, in the units of its view box: narrow, so that a phone
// shows its text at reading size.
const (
	chartWidth = 400
	labelWidth = 108
	barHeight  = 16
	barStep    = 22
	groupGap   = 46
	barMost    = chartWidth - labelWidth - 84
)

// chartStyle takes its colours from the reader's light or dark mode.
const chartStyle = `<style>
text{font:12px system-ui,sans-serif;fill:#3d444d}.t{font-weight:600;font-size:14px}.n{fill:#6b7480}
.own{fill:#1f7a5c}.other{fill:#a3abb5}.floor{fill:none;stroke:#6b7480}
@media(prefers-color-scheme:dark){text{fill:#d5dbe3}.n{fill:#98a2ae}.own{fill:#41b58d}.other{fill:#5f6975}.floor{stroke:#98a2ae}}
</style>
`

// chart draws how long each contender takes from the URL to the folder, one
// group of bars for each scene, each on a scale of its own. It is empty where
// no such scene was played.
func (r *report) chart() string {
	var body strings.Builder
	y := 8
	for _, sc := range r.scenes {
		if sc.whole || sc.name == "memory" {
			continue
		}
		y += groupGap
		fmt.Fprintf(&body, `<text class="t" x="8" y="%d">%s, %s</text>`+"\n", y-12, sc.payload.title, linkTitle(sc.link))
		y = sc.bars(&body, y)
	}
	if y == 8 {
		return ""
	}
	height := y + 16
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Seconds from the URL to the unpacked folder">`+"\n", chartWidth, height) +
		chartStyle + `<text class="n" x="8" y="20">Seconds from the URL to the folder; shorter is better</text>` + "\n" + body.String() + "</svg>\n"
}

// bars draws a scene's bars from y down and returns where they end.
func (sc *scene) bars(w *strings.Builder, y int) int {
	names := []string{ours, recipe, recipeGzip, recipeZstd, stockAge, floor}
	var most time.Duration
	for _, name := range names {
		most = max(most, sc.took(name).median)
	}
	for _, name := range names {
		took := sc.took(name).median
		if took == 0 {
			continue
		}
		class, note := "other", fmt.Sprintf("%.1f×", sc.times(name))
		switch name {
		case ours:
			class, note = "own", ""
		case floor:
			class, note = "floor", ""
		}
		length := max(1, int(float64(barMost)*took.Seconds()/most.Seconds()))
		fmt.Fprintf(w, `<text x="8" y="%d">%s</text><rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/><text x="%d" y="%d">%.2f <tspan class="n">%s</tspan></text>`+"\n",
			y+12, name, class, labelWidth, y, length, barHeight, labelWidth+length+5, y+12, took.Seconds(), note)
		y += barStep
	}
	return y
}
