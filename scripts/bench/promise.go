package main

import (
	"fmt"
	"strings"
)

// What is promised of every machine: ratios, and an amount of memory.
const (
	maxPeak  = 48 << 20 // bytes resident
	maxDrift = 0.10     // between 200 MB and 2 GB
	maxStart = 2.0      // times a bare Go program
)

// promises holds what was measured against what is promised.
func (r *report) promises(w *strings.Builder) {
	var rows []string
	say := func(what, measured string, kept bool) {
		word := "yes"
		if !kept {
			word = "**no**"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |", what, measured, word))
	}
	for _, p := range []struct {
		scene, against string
		least          float64
	}{
		{"mixed-slow", recipe, 5},
		{"small-slow", recipe, 4},
		{"mixed-fast", recipe, 1.3},
		{"small-fast", recipe, 1.3},
		{"mixed-fast", recipeGzip, 3},
		{"small-fast", recipeGzip, 2},
		{"whole-files-tmpfs", recipe, 1},
		{"whole-files-disk", recipe, 1},
		{"whole-modules-tmpfs", recipe, 1},
		{"whole-modules-disk", recipe, 1},
	} {
		if sc := r.scene(p.scene); sc != nil {
			n := sc.times(p.against)
			say(fmt.Sprintf("%s: at least %.1f times as fast as the %s", p.scene, p.least, p.against), fmt.Sprintf("%.2f×", n), n >= p.least)
		}
	}
	if r.start != nil {
		n := 1 / r.start.times(floor)
		say(fmt.Sprintf("starts in under %.0f times a bare Go program", maxStart), fmt.Sprintf("%.2f×", n), n < maxStart)
	}
	var peak int64
	for _, sc := range r.scenes {
		peak = max(peak, sc.peak())
	}
	if peak > 0 {
		say(fmt.Sprintf("peak memory at most %d MiB on every payload", maxPeak>>20), fmt.Sprintf("%.1f MiB", float64(peak)/(1<<20)), peak <= maxPeak)
	}
	if mixed, large := r.scene("mixed-fast"), r.scene("memory"); mixed != nil && large != nil {
		drift := float64(large.peak())/float64(mixed.peak()) - 1
		say(fmt.Sprintf("peak memory of 2 GB within %.0f %% of that of 200 MB", maxDrift*100), fmt.Sprintf("%+.1f %%", drift*100), drift <= maxDrift && drift >= -maxDrift)
	}
	table(w, "What is promised", "promise | measured | kept", rows)
}
