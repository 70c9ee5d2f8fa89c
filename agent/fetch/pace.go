package fetch

import (
	"fmt"
	"sync"
	"time"
)

const (
	minRate    = 50e3             // bytes per second: a mirror below it loses to one that has not been tried
	rateWindow = 30 * time.Second // of waiting for bytes, over which a rate is taken
	paceEvery  = time.Second
)

// floor returns the rate below which mirrors[i] is given up for another. That is minRate
// while there is one that has neither failed to answer (down) nor been given up. If the
// others were given up as slow it is half the best one's rate, so that the fastest
// serves in the end: each change at least halves the floor. Otherwise it is 0.
func floor(mirrors []mirror, i int, down []bool, known map[string]past) float64 {
	least := 0.0
	for j, m := range mirrors {
		if j == i || down[j] {
			continue
		}
		switch p := known[m.at().raw]; {
		case p.failures == 0:
			return minRate
		case p.slow:
			least = max(least, min(p.rate/2, minRate))
		}
	}
	return least
}

// hunger is how long a reader has waited for bytes in all. Time in which it has
// enough to do is not the mirror's, and does not count.
type hunger struct {
	mu    sync.Mutex
	total time.Duration
	since time.Time // of the wait that goes on, or zero
}

func (h *hunger) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = time.Now()
}

func (h *hunger) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total += time.Since(h.since)
	h.since = time.Time{}
}

func (h *hunger) sum() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		return h.total
	}
	return h.total + time.Since(h.since)
}

// sample is how far a stream was at one time.
type sample struct {
	hungry time.Duration
	bytes  int64
}

// pace takes the rate of a stream over the last rateWindow of waiting.
type pace struct{ samples []sample }

// rate adds a sample and returns the bytes per second of waiting; false until there was
// a whole rateWindow of that.
func (p *pace) rate(now sample) (float64, bool) {
	p.samples = append(p.samples, now)
	for len(p.samples) > 1 && now.hungry-p.samples[1].hungry >= rateWindow {
		p.samples = p.samples[1:]
	}
	waited := now.hungry - p.samples[0].hungry
	if waited < rateWindow {
		return 0, false
	}
	return float64(now.bytes-p.samples[0].bytes) / waited.Seconds(), true
}

// slowError says that a stream was given up because another mirror may be faster.
type slowError struct {
	rate, floor float64
}

func (e *slowError) Error() string {
	return fmt.Sprintf("slow: %.0f bytes/s over %v, and another mirror may give more than %.0f", e.rate, rateWindow, e.floor)
}

// keepPace ends the stream with a *slowError if its mirror is slower than floor. A rest
// that would be there within another rateWindow is waited for.
func (s *Stream) keepPace(floor float64) {
	ticker := time.NewTicker(paceEvery)
	defer ticker.Stop()
	var p pace
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
		}
		bytes := s.feed.count.Load()
		rate, known := p.rate(sample{s.hunger.sum(), bytes})
		soon := s.size >= bytes && float64(s.size-bytes) <= rate*rateWindow.Seconds()
		if known && rate < floor && !soon {
			s.cancel(&slowError{rate, floor})
			return
		}
	}
}

// tooLate completes e, the deadline's error, with how far the stream came.
func (s *Stream) tooLate(e *Error, took time.Duration) {
	came, size := s.feed.count.Load(), ""
	if s.size >= 0 {
		size = fmt.Sprintf(" of %d", s.size)
	}
	why := ""
	if s.hunger.sum() > took/2 {
		why = "the server is slow: "
	}
	e.Err = fmt.Errorf("%w; %s%d%s bytes came in %v", e.Err, why, came, size, took.Round(time.Second))
}
