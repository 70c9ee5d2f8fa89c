package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
)

func TestTheDeadlineEndsARunningStream(t *testing.T) {
	bubble(t, 7*time.Second, func(t *testing.T, ctx context.Context) {
		n := newNetwork(t, one(hang(object(payload(1000)), 10)))
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}})
		var trouble *fetch.Error
		if !errors.As(err, &trouble) || trouble.Kind != fetch.Deadline || !errors.Is(err, context.DeadlineExceeded) || fetch.Restartable(err) {
			t.Fatal(err)
		}
	})
}

func TestTheDeadlineEndsTheFirstRequest(t *testing.T) {
	bubble(t, time.Second, func(t *testing.T, ctx context.Context) {
		n := newNetwork(t, one(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })))
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}})
		var trouble *fetch.Error
		if !errors.As(err, &trouble) || trouble.Kind != fetch.Deadline || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestAnInterruptIsNoDeadline(t *testing.T) {
	bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(time.Second, func() { cancel(errors.New("terminated")) })
		n := newNetwork(t, one(status(http.StatusServiceUnavailable)))
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}})
		var trouble *fetch.Error
		if !errors.As(err, &trouble) || trouble.Kind != fetch.Interrupted || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "terminated") {
			t.Fatal(err)
		}
	})
}

func TestWithoutADeadlineAnHourIsAllowed(t *testing.T) {
	bubble(t, 10*time.Hour, func(t *testing.T, _ context.Context) {
		n := newNetwork(t, one(status(503)))
		began := time.Now()
		_, _, err := fetchAll(t.Context(), n, fetch.Request{URLs: []string{mirrorURL}}) //nolint:contextcheck // on purpose without a deadline
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestCloseEndsAStreamAnywhere(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"in ranges": object(payload(40 << 20)), "in one body": noRanges(object(payload(40 << 20))),
		"in a stall": hang(object(payload(40<<20)), 3<<18),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, time.Hour, func(t *testing.T, ctx context.Context) {
				n := newNetwork(t, one(handler))
				c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: n.transport})
				s, err := c.Open(ctx, fetch.Request{URLs: []string{mirrorURL}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.CopyN(io.Discard, s, 1<<19); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, _ = s.Close(), s.Close()
				if time.Since(began) != 0 {
					t.Errorf("it took %s", time.Since(began))
				}
				_, err = io.Copy(io.Discard, s)
				var trouble *fetch.Error
				if !errors.As(err, &trouble) || trouble.Kind != fetch.Interrupted || s.SHA256() != "" {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}

func TestAStreamCanGoOnElsewhere(t *testing.T) {
	data := payload(9 << 20)
	const a, b = "http://a.example/web.bundle", "http://b.example/web.bundle"
	tests := map[string]struct {
		a    http.Handler
		next []string
		may  bool
	}{
		"the mirror broke off":       {nth(object(data), func(n int64) bool { return n > 3 }, status(503)), []string{b, a}, true},
		"it denies the rest":         {nth(object(data), func(n int64) bool { return n > 3 }, status(403)), []string{b, a}, true},
		"the file changed":           {nth(object(data), func(n int64) bool { return n > 3 }, later(version(payload(10 << 20)[1:], `"v2"`))), []string{a, b}, true},
		"the digest is another file": {object(data[1:]), []string{b, a}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
				n := newNetwork(t, map[string]http.Handler{"a.example": test.a, "b.example": object(data)})
				r := fetch.Request{URLs: []string{a, b}, SHA256: digest(data)}
				_, _, err := fetchAll(ctx, n, r)
				next, ok := r.Next(err)
				if !ok || fmt.Sprint(next.URLs) != fmt.Sprint(test.next) || next.SHA256 != r.SHA256 || fetch.Restartable(err) != test.may {
					t.Fatalf("next %v %v after %v", next, ok, err)
				}
				if name == "the file changed" {
					return // for ever, here
				}
				got, _, err := fetchAll(ctx, n, next)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes: %v", len(got), err)
				}
			})
		})
	}
}

func TestNothingIsLeftToTry(t *testing.T) {
	r := fetch.Request{URLs: []string{mirrorURL}}
	if _, ok := r.Next(io.EOF); ok || fetch.Restartable(io.EOF) {
		t.Error("another package's error")
	}
}
