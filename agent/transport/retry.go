package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Waits between two tries of the same thing.
const (
	MinWait       = 250 * time.Millisecond // the first wait's upper end
	MaxWait       = 15 * time.Second       // no jittered wait is longer
	MaxRetryAfter = 30 * time.Second       // what a server may ask for at most
)

// Patience is for how long an answer that should be final (not found, access
// denied, a bad certificate) is asked for again: at boot, roles and bucket
// policies spread and clocks are set.
const Patience = 30 * time.Second

// Backoff is the retryablehttp.Backoff of every client made here: a random time
// up to least·2^attempt and most (full jitter, so that a fleet does not come back
// in step), and no less than what Retry-After asks for, of which MaxRetryAfter
// is honoured.
func Backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	ceiling := most
	if attempt < 20 && least<<attempt < most {
		ceiling = least << attempt
	}
	wait := rand.N(ceiling + 1) //nolint:gosec // jitter is no secret
	return max(wait, RetryAfter(resp, time.Now()))
}

// Wait is Backoff for a loop that has no response at hand.
func Wait(attempt int) time.Duration { return Backoff(MinWait, MaxWait, attempt, nil) }

// RetryAfter returns how long resp (nil: not at all) asks to wait, seen at now:
// between 0 and MaxRetryAfter, and 0 where it says nothing that can be read. Both
// forms of RFC 9110 section 10.2.3 are known.
func RetryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp == nil {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	seconds, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil || errors.Is(err, strconv.ErrRange): // out of range comes clamped
		seconds = min(max(seconds, 0), int64(MaxRetryAfter/time.Second))
		return time.Duration(seconds) * time.Second
	default:
		date, err := http.ParseTime(text)
		if err != nil {
			return 0
		}
		return min(max(date.Sub(now), 0), MaxRetryAfter)
	}
}

// Busy reports whether status promises that a later try may do better.
func Busy(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	default:
		return status >= http.StatusInternalServerError
	}
}

// Unreachable reports whether err came before a connection: no name, no route,
// no listener.
func Unreachable(err error) bool {
	var (
		operation *net.OpError
		lookup    *net.DNSError
	)
	if errors.As(err, &operation) && (operation.Op == "dial" || operation.Op == "proxyconnect") {
		return true
	}
	return errors.As(err, &lookup)
}

// Transient is a retryablehttp.CheckRetry for a connection that broke or a busy
// server. Whatever else goes wrong is the caller's to judge: an unreachable
// server, say, which a mirror may replace.
func Transient(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil //nolint:nilerr // the client returns ctx's error itself
	}
	if err == nil {
		return Busy(resp.StatusCode), nil
	}
	return !Answered(err) && !Unreachable(err), nil
}
