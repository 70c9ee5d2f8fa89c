package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// restless is the spread, as share of the median, from which a contender is
// measured for as many rounds again: others use this machine too.
const restless = 0.25

// longScene is how long a scene may have taken for it to go on all the same.
const longScene = 15 * time.Second

// scene is one comparison: contenders who get the same payload onto the same
// filesystem over the same link.
type scene struct {
	name       string
	payload    payload
	link       string
	on         place
	whole      bool // from start to exit, the modules run; else up to the unpacked folder
	contenders []contender
	samples    map[string][]sample
}

// play lets the contenders take turns. In a first round, which does not count,
// it is looked whether each left the payload's files.
func (sc *scene) play(ctx context.Context, rounds int) error {
	sc.samples = map[string][]sample{}
	for _, c := range sc.contenders {
		if _, err := sc.turn(ctx, c, true); err != nil {
			return fmt.Errorf("%s: %s: %w", sc.name, c.name, err)
		}
	}
	began := time.Now()
	for round := range 2 * rounds {
		if round == rounds && (time.Since(began) > longScene || !sc.restless()) {
			break
		}
		for i := range sc.contenders { // another one first each time
			c := sc.contenders[(i+round)%len(sc.contenders)]
			took, err := sc.turn(ctx, c, false)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", sc.name, c.name, err)
			}
			sc.samples[c.name] = append(sc.samples[c.name], took)
		}
	}
	return nil
}

func (sc *scene) restless() bool {
	for _, samples := range sc.samples {
		s := summary(samples, func(s sample) time.Duration { return s.took })
		if float64(s.q3-s.q1) > restless*float64(s.median) {
			return true
		}
	}
	return false
}

func (sc *scene) turn(ctx context.Context, c contender, check bool) (sample, error) {
	dir := filepath.Join(sc.on.dir, "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(dir)
	took, left, err := c.run(ctx, dir)
	if err != nil || !check || left == "" {
		return took, err
	}
	files, bytes, err := count(left)
	starts := sc.payload.modules
	// What the even split leaves over is less than a byte for each file.
	wantFiles, wantBytes := int64(sc.payload.files+starts), sc.payload.bytes+int64(starts*len(startScript))
	if err == nil && (files != wantFiles || bytes > wantBytes || bytes < wantBytes-wantFiles) {
		err = fmt.Errorf("it left %d files of %d bytes, not %d of %d", files, bytes, wantFiles, wantBytes)
	}
	return took, err
}

// spread is where the times of a contender lie.
type spread struct{ least, q1, median, q3, most time.Duration }

func summary(samples []sample, of func(sample) time.Duration) spread {
	times := make([]time.Duration, 0, len(samples))
	for _, s := range samples {
		times = append(times, of(s))
	}
	return spreadOf(times)
}

func spreadOf(times []time.Duration) spread {
	if len(times) == 0 {
		return spread{}
	}
	slices.Sort(times)
	last := len(times) - 1
	return spread{times[0], times[last/4], middle(times), times[last-last/4], times[last]}
}

// middle returns the median of sorted values.
func middle[T time.Duration | float64](sorted []T) T {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// times returns how many times as long the named contender took as the agent:
// the median of the rounds' ratios. Whoever else used the machine in a round
// used it for both.
func (sc *scene) times(name string) float64 {
	var ratios []float64
	for i, own := range sc.samples[ours] {
		if other := sc.samples[name]; i < len(other) && own.took > 0 {
			ratios = append(ratios, float64(other[i].took)/float64(own.took))
		}
	}
	slices.Sort(ratios)
	return middle(ratios)
}

// peak returns the most memory that the agent used in any round, in bytes.
func (sc *scene) peak() int64 {
	var most int64
	for _, s := range sc.samples[ours] {
		most = max(most, s.peak)
	}
	return most
}

func (sc *scene) took(name string) spread {
	return summary(sc.samples[name], func(s sample) time.Duration { return s.took })
}

func (sc *scene) process() time.Duration {
	return summary(sc.samples[ours], func(s sample) time.Duration { return s.whole }).median
}

func (sc *scene) busy(name string) time.Duration {
	return summary(sc.samples[name], func(s sample) time.Duration { return s.busy }).median
}
