package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// observation is what the HTTP side saw of one attempt. An attempt is one
// goroutine, so it needs no lock.
type observation struct {
	token  int    // status of the last token request; zero without one
	status int    // of the last request
	path   string // of the last request
	err    error  // of the last request, if it got no answer
}

type observationKey struct{}

func observed(ctx context.Context) *observation {
	if o, ok := ctx.Value(observationKey{}).(*observation); ok {
		return o
	}
	return &observation{}
}

// spoke reports whether the service gave a token, now or before.
func (o *observation) spoke() bool {
	return o.token == http.StatusOK || o.token == 0 && o.status != 0
}

// cause is the reason of a failed attempt, better than the SDK's.
func (o *observation) cause(err error) error {
	switch {
	case o.err != nil:
		return o.err
	case o.status != 0 && o.status != http.StatusOK:
		return &statusError{o.path, o.status}
	}
	return err
}

// statusError is an answer other than 200.
type statusError struct {
	path   string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("metadata answered %d %s to %s", e.status, http.StatusText(e.status), e.path)
}

// notFound reports whether err is a 404 to a request that had a token.
func notFound(err error) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == http.StatusNotFound && e.path != tokenPath
}

const tokenPath = "/latest/api/token"

// tokenRefused reports whether err is a 403 to the request for a token.
func tokenRefused(err error) bool {
	var e *statusError
	return errors.As(err, &e) && e.status == http.StatusForbidden && e.path == tokenPath
}

var errTooLong = fmt.Errorf("a metadata answer is longer than %d bytes; is this EC2's own service?", maxAnswer)

// limitedBody fails once more than left bytes were read.
type limitedBody struct {
	io.ReadCloser
	left int
	seen *observation
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		err = errTooLong
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.seen.err = err
	}
	return n, err
}

// outcome is what one endpoint made of an attempt.
type outcome[T any] struct {
	value    T
	err      error
	endpoint *imds.Client
	spoke    bool // the endpoint gives tokens, so it is the right one
}

// attempt asks the chosen endpoint, or all at once until one is chosen.
func attempt[T any](ctx context.Context, c *Client, ask func(context.Context, *imds.Client) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	candidates := c.endpoints
	if chosen := c.chosen.Load(); chosen != nil {
		candidates = []*imds.Client{chosen}
	}
	outcomes := make(chan outcome[T], len(candidates))
	for _, endpoint := range candidates {
		go func() {
			seen := &observation{}
			value, err := ask(context.WithValue(ctx, observationKey{}, seen), endpoint)
			if err != nil {
				err = seen.cause(err)
			}
			outcomes <- outcome[T]{value, err, endpoint, err == nil || seen.spoke()}
		}()
	}
	var best outcome[T]
	for i := range candidates {
		o := <-outcomes
		if o.spoke {
			c.chosen.Store(o.endpoint)
			return o.value, o.err
		}
		c.chosen.CompareAndSwap(o.endpoint, nil) // all may try again
		var status *statusError
		if i == 0 || errors.As(o.err, &status) { // an answer tells more than none
			best = o
		}
	}
	return best.value, best.err
}

// verdict is what to do with the outcome of an attempt.
type verdict int

const (
	again   verdict = iota // not ready yet
	final                  // take it
	settles                // take it once it has held for Settle
)

// patiently repeats ask until judge takes its outcome, or the deadline passes.
func patiently[T any](
	ctx context.Context, c *Client, w wait,
	ask func(context.Context, *imds.Client) (T, error), judge func(T, error) verdict,
) (T, error) {
	var none T
	if c.unusable != nil {
		return none, c.unusable
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.deadline, errDeadline)
	defer cancel()
	var settling time.Time // since when the same answer holds
	var last error
	for {
		value, err := attempt(ctx, c, ask)
		w.attempts++
		if ctx.Err() != nil && last != nil {
			err = last // how an attempt ends that is cut off tells nothing
		}
		last = err
		v := judge(value, err)
		switch {
		case tokenRefused(err):
			v, err = settles, fmt.Errorf("%w: %w; enable it with aws ec2 modify-instance-metadata-options --http-endpoint enabled", ErrDisabled, err)
		case errors.Is(err, errTooLong):
			v = final
		}
		switch v {
		case again:
			settling = time.Time{}
		case settles:
			if settling.IsZero() {
				settling = time.Now()
			}
			if time.Since(settling) >= Settle {
				v = final
			}
		}
		if v == final {
			if err == nil {
				w.end()
			}
			return value, err
		}
		if !w.pause(ctx, err) {
			return none, c.gaveUp(ctx, last)
		}
	}
}

var errDeadline = errors.New("no patience left")

// gaveUp tells the client's own deadline from the caller's context.
func (c *Client) gaveUp(ctx context.Context, last error) error {
	if !errors.Is(context.Cause(ctx), errDeadline) {
		return fmt.Errorf("wait for instance metadata: %w", context.Cause(ctx))
	}
	if last == nil {
		return fmt.Errorf("%w within %s: it answers that there is nothing, which must hold for %s to be believed; wait longer", ErrUnreachable, c.deadline, Settle)
	}
	return fmt.Errorf("%w within %s: %w; is this an EC2 instance, with its metadata service on?", ErrUnreachable, c.deadline, last)
}

// wait is the pauses between attempts, and what is logged of them.
type wait struct {
	log      *zap.Logger
	level    zapcore.Level // of the first message
	first    string
	began    time.Time
	logged   time.Time
	length   time.Duration
	attempts int
}

func (c *Client) waitForData() wait {
	return wait{log: c.log, level: zapcore.InfoLevel, first: "waiting for instance metadata", began: time.Now()}
}

func (c *Client) waitForRole() wait {
	return wait{log: c.role, level: zapcore.WarnLevel, first: "no credentials (no instance role) yet, waiting for instance metadata", began: time.Now()}
}

// pause waits before the next attempt. It is false when ctx has ended.
func (w *wait) pause(ctx context.Context, err error) bool {
	switch {
	case w.logged.IsZero():
		w.log.Log(w.level, w.first, zap.Error(err))
		w.logged = time.Now()
	case time.Since(w.logged) >= logEvery:
		w.log.Info("still waiting for instance metadata",
			zap.Int("attempt", w.attempts), zap.Duration("duration", time.Since(w.began)), zap.Error(err))
		w.logged = time.Now()
	}
	w.length = min(max(2*w.length, firstPause), maxPause)
	timer := time.NewTimer(w.length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// end is for success only: an error is returned, and logged by who handles it.
func (w *wait) end() {
	if !w.logged.IsZero() {
		w.log.Info("instance metadata answered",
			zap.Int("attempt", w.attempts), zap.Duration("duration", time.Since(w.began)))
	}
}
