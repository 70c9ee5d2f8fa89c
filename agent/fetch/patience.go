package fetch

import (
	"context"
	"time"

	"startup-bundle/agent/transport"
)

// patience counts the failures of one thing in a row and says when to stop.
type patience struct {
	failures int
	asked    time.Time // since when it was tried, if that is known
	began    time.Time // of the first failure
	final    time.Time // since when every failure looked final
	last     error     // for who asks why, when time is up
}

// over reports whether no other try follows: trouble has looked final for
// transport.Patience.
func (t *patience) over(trouble *Error) bool {
	now := time.Now()
	if t.failures == 0 {
		t.began, t.final = now, now
	}
	if t.failures == 0 && !t.asked.IsZero() && trouble.unidentified() {
		t.final = t.asked // instance metadata was waited for all this time
	}
	if !trouble.final() {
		t.final = now
	}
	return trouble.hopeless() || now.Sub(t.final) >= transport.Patience
}

// wait sleeps before the next try. It returns trouble itself once that is over,
// and an error of ctx's as soon as that ends.
func (t *patience) wait(ctx context.Context, trouble *Error) error {
	if t.over(trouble) {
		return trouble
	}
	return t.sleep(ctx, trouble)
}

func (t *patience) sleep(ctx context.Context, trouble *Error) error {
	pause := max(transport.Wait(t.failures), trouble.retryAfter)
	t.failures++
	if transport.Sleep(ctx, pause) != nil {
		return trouble.place().ended(ctx, trouble)
	}
	return nil
}

// again is wait for a running stream: a replaced file ends it at once, and a
// mirror that has a stand-in is given up after mirrorPatience.
func (t *patience) again(ctx context.Context, trouble *Error) error {
	if ctx.Err() != nil {
		return trouble.place().ended(ctx, t.last)
	}
	t.last = trouble
	trouble.Attempt = t.failures + 1
	if trouble.Kind == Changed {
		return trouble
	}
	trouble.lost = trouble.Mirrors > 1
	if trouble.lost && t.failures > 0 && time.Since(t.began) >= mirrorPatience {
		return trouble
	}
	return t.wait(ctx, trouble)
}
