package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"startup-bundle/agent/fetch"
)

// nth wraps handler so that break gets the request whose number, from 1, it says
// it wants.
func nth(handler http.Handler, wants func(n int64) bool, broken http.HandlerFunc) http.Handler {
	var count atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wants(count.Add(1)) {
			broken(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func upTo(last int64) func(int64) bool { return func(n int64) bool { return n <= last } }
func only(which int64) func(int64) bool {
	return func(n int64) bool { return n == which }
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// hang sends n bytes of handler's answer and then nothing until the client goes.
func hang(handler http.Handler, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(&stuck{ResponseWriter: w, left: n, gone: r.Context().Done()}, r)
	}
}

type stuck struct {
	http.ResponseWriter

	left int
	gone <-chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	if len(p) < s.left {
		s.left -= len(p)
		return s.ResponseWriter.Write(p)
	}
	_, _ = s.ResponseWriter.Write(p[:s.left])
	_ = http.NewResponseController(s.ResponseWriter).Flush()
	<-s.gone
	panic(http.ErrAbortHandler)
}

// cut breaks the connection after n bytes of the body.
func cut(handler http.Handler, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(&cutter{ResponseWriter: w, left: n}, r)
	}
}

// later answers when what was asked for before has arrived.
func later(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		handler.ServeHTTP(w, r)
	}
}

func noRanges(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		handler.ServeHTTP(w, r)
	})
}

func TestTroubleThatPassesIsWaitedOut(t *testing.T) {
	data := payload(5<<20 + 11)
	whole := object(data)
	plain := noRanges(whole)
	reset := cut(whole, 0)
	tests := map[string]struct {
		hosts  map[string]http.Handler
		urls   []string
		within time.Duration // 0: a minute
	}{
		"a reset before the first byte":     {hosts: one(nth(whole, upTo(4), reset))},
		"a reset of every second request":   {hosts: one(nth(whole, func(n int64) bool { return n%2 == 0 }, cut(whole, 1<<19)))},
		"a reset of every second, no range": {hosts: one(nth(plain, upTo(3), cut(plain, 3<<20)))},
		"a stall in the middle":             {hosts: one(nth(whole, only(3), hang(whole, 1<<19))), within: 2 * time.Minute},
		"a stall without ranges":            {hosts: one(nth(plain, only(1), hang(plain, 5<<20))), within: 2 * time.Minute},
		"a server that never answers once":  {hosts: one(nth(whole, only(1), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))},
		"a slow first byte": {hosts: one(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(20 * time.Second)
			whole(w, r)
		})), within: 2 * time.Minute},
		"a 503 storm":                        {hosts: one(nth(whole, upTo(12), status(503))), within: 3 * time.Minute},
		"a 503 storm in the middle":          {hosts: one(nth(whole, func(n int64) bool { return n > 1 && n < 16 }, status(503))), within: 3 * time.Minute},
		"a 503 storm with Retry-After":       {hosts: one(nth(whole, upTo(3), status(503, "Retry-After", "2")))},
		"a Retry-After of a day":             {hosts: one(nth(whole, upTo(1), status(503, "Retry-After", "86400")))},
		"a Retry-After that overflows":       {hosts: one(nth(whole, upTo(1), status(429, "Retry-After", "99999999999999999999")))},
		"a Retry-After in the far future":    {hosts: one(nth(whole, upTo(1), status(503, "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")))},
		"a Retry-After of nonsense":          {hosts: one(nth(whole, upTo(1), status(503, "Retry-After", "soon")))},
		"a 403 and a 404 while roles spread": {hosts: one(nth(nth(whole, upTo(2), status(403)), upTo(2), status(404)))},
		"a range ignored once in the middle": {hosts: one(nth(whole, only(3), plain.ServeHTTP))},
		"a range answered with another": {hosts: one(nth(whole, only(2), func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=5-10")
			whole(w, r)
		}))},
		"a range answered in part": {hosts: one(nth(whole, only(3), func(w http.ResponseWriter, r *http.Request) {
			from, _, _ := strings.Cut(r.Header.Get("Range"), "-")
			at, _ := strconv.Atoi(strings.TrimPrefix(from, "bytes="))
			r.Header.Set("Range", fmt.Sprintf("%s-%d", from, at+1000))
			whole(w, r)
		}))},
		"a rest that comes in parts": {hosts: one(nth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			from, _, _ := strings.Cut(r.Header.Get("Range"), "-")
			at, _ := strconv.Atoi(strings.TrimPrefix(from, "bytes="))
			r.Header.Set("Range", fmt.Sprintf("%s-%d", from, at+1<<20))
			whole(w, r)
		}), only(1), cut(plain, 2<<20)))},
		"a Content-Range without a size": {hosts: one(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes 0-1/*")
				w.WriteHeader(http.StatusPartialContent)
				return
			}
			whole(w, r)
		}))},
		"a Content-Length too long": {hosts: one(nth(whole, only(1), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data[:4<<20])
		}))},
		"only a date, and resets":                   {hosts: one(nth(dated(data), func(n int64) bool { return n%2 == 0 }, cut(dated(data), 1<<19)))},
		"ranges, but nothing that proves a version": {hosts: one(nth(unmarked(data), only(3), cut(unmarked(data), 1<<19)))},
		"a chunked body cut behind its last byte": {hosts: one(nth(whole, only(1), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			_, _ = w.Write(data)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))},
		"a chunked body cut in the middle": {hosts: one(nth(whole, only(1), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			_, _ = w.Write(data[:5<<20])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))},
		"a new date on the same bytes": {hosts: one(nth(noRanges(version(data, `"v2"`)), only(1), cut(noRanges(whole), 4<<20)))},
		"a busy answer that stalls": {hosts: one(nth(whole, only(1), func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})), within: 2 * time.Minute},
		"a range only at first":        {hosts: one(nth(plain, only(1), whole)), within: time.Second},
		"ranges only for a while":      {hosts: one(nth(plain, upTo(4), whole)), within: time.Second},
		"no ranges any more, and cut":  {hosts: one(nth(nth(plain, upTo(3), whole), only(8), cut(plain, 3<<20)))},
		"one range of many is ignored": {hosts: one(nth(whole, only(3), plain.ServeHTTP)), within: time.Second},
		"one name of two unknown": {
			hosts: map[string]http.Handler{"mirror.example": whole},
			urls:  []string{"http://gone.invalid/web.bundle", mirrorURL}, within: 5 * time.Second,
		},
		"one mirror of two silent": {
			hosts: map[string]http.Handler{"dead.example": nil, "mirror.example": whole},
			urls:  []string{"http://dead.example/web.bundle", mirrorURL}, within: 15 * time.Second,
		},
		"one mirror of two busy for an hour": {
			hosts: map[string]http.Handler{"busy.example": status(503, "Retry-After", "3600"), "mirror.example": whole},
			urls:  []string{"http://busy.example/web.bundle", mirrorURL}, within: time.Second,
		},
		"one mirror of two of an unknown scheme": {
			hosts: one(whole), urls: []string{"ftp://mirror.example/web.bundle", mirrorURL}, within: time.Second,
		},
		"redirects within bounds": {hosts: one(nth(whole, upTo(4), func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/next", http.StatusFound)
		}))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.within == 0 {
				test.within = time.Minute
			}
			if test.urls == nil {
				test.urls = []string{mirrorURL}
			}
			bubble(t, test.within, func(t *testing.T, ctx context.Context) {
				n := newNetwork(t, test.hosts)
				got, _, err := fetchAll(ctx, n, fetch.Request{URLs: test.urls, SHA256: digest(data)})
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("got %d bytes of %d: %v", len(got), len(data), err)
				}
			})
		})
	}
}

// dated serves data as Go's or Python's file servers do, without an ETag.
func dated(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Now().Add(-time.Hour).Truncate(24*time.Hour), bytes.NewReader(data))
	}
}

// unmarked serves ranges of data without saying of which version.
func unmarked(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func one(h http.Handler) map[string]http.Handler {
	return map[string]http.Handler{"mirror.example": h}
}

func TestABodyCutAnywhereIsResumed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{100_000, 5<<20 + 1} {
		data := payload(size)
		for _, handler := range []http.Handler{object(data), noRanges(object(data))} {
			for range 12 {
				bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
					var offsets []int
					for range 6 {
						offsets = append(offsets, random.IntN(size))
					}
					var count atomic.Int64
					server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if i := count.Add(1) - 1; int(i) < len(offsets) {
							cut(handler, offsets[i])(w, r)
							return
						}
						handler.ServeHTTP(w, r)
					})
					n := newNetwork(t, one(server))
					got, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}})
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("cut at %v: %d bytes of %d: %v", offsets, len(got), size, err)
					}
				})
			}
		}
	}
}

func TestTroubleThatStaysIsNamed(t *testing.T) {
	data := payload(9 << 20)
	whole, other := object(data), payload(9<<20 + 1)[1:]
	tests := map[string]struct {
		handler http.Handler
		url     string
		sha256  string
		kind    fetch.Kind
		text    string        // in the error
		before  time.Duration // the error comes; 0: at the deadline of ten minutes
		bytes   int           // at most this many are handed out
	}{
		"not found":        {handler: status(404), kind: fetch.NotFound, text: "404", before: time.Minute},
		"access denied":    {handler: status(403), kind: fetch.Denied, text: "403", before: time.Minute},
		"a refused method": {handler: status(405), kind: fetch.Refused, text: "405", before: time.Minute},
		"an answer of 304": {handler: status(304), kind: fetch.Refused, text: "304", before: time.Minute},
		"busy for ever":    {handler: status(503, "Retry-After", "86400"), kind: fetch.Deadline, text: "503"},
		"reset for ever":   {handler: cut(whole, 0), kind: fetch.Deadline, text: "EOF"},
		"silent for ever":  {handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), kind: fetch.Deadline, text: "timeout"},
		"stalled for ever": {handler: hang(whole, 1000), kind: fetch.Deadline, text: "no byte came for 30s", bytes: 9 << 20},
		"no connection":    {kind: fetch.Deadline, text: "deadline"},
		"no such name":     {url: "http://gone.invalid/web.bundle", kind: fetch.Deadline, text: "no such host"},
		"a redirect loop": {
			handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a?secret=s3", http.StatusFound) }),
			kind:    fetch.Redirect, text: "more than 5 redirects", before: time.Minute,
		},
		"a redirect to a file": {
			handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "file:///etc/passwd")
				w.WriteHeader(http.StatusFound)
			}),
			kind: fetch.Redirect, text: "only http and https", before: time.Minute,
		},
		"a redirect that does not parse": {
			handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://user:s3cret@%zz/?secret=s3")
				w.WriteHeader(http.StatusFound)
			}),
			kind: fetch.Redirect, text: "Location is not a URL", before: time.Minute,
		},
		"the wrong digest": {
			handler: whole, sha256: digest(data[1:]), kind: fetch.Digest, text: digest(data), before: time.Second, bytes: len(data),
		},
		"the wrong digest without ranges": {
			handler: noRanges(whole), sha256: digest(data[1:]), kind: fetch.Digest, text: digest(data), before: time.Second, bytes: len(data),
		},
		"the wrong digest of a Content-Length too short": {
			handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write(data[:1000])
			}),
			sha256: digest(data), kind: fetch.Digest, text: digest(data[:1000]), before: time.Second, bytes: 1000,
		},
		"a Content-Length always too long": {
			handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "5000")
				_, _ = w.Write(data[:1000])
			}),
			kind: fetch.Deadline, text: "unexpected EOF", bytes: 1000,
		},
		"a new ETag and other bytes in the middle": {
			handler: nth(whole, func(n int64) bool { return n > 2 }, later(version(other, `"v2"`))),
			kind:    fetch.Changed, text: "beginning", before: time.Minute, bytes: len(data),
		},
		"a new ETag and other bytes that If-Match does not see": {
			handler: nth(whole, func(n int64) bool { return n > 2 }, later(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("If-Match")
				version(other, `"v2"`)(w, r)
			})),
			kind: fetch.Changed, text: "beginning", before: time.Minute, bytes: len(data),
		},
		"a shorter file in the middle": {
			handler: nth(whole, func(n int64) bool { return n > 2 }, later(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("If-Match")
				version(data[:1000], `"v1"`)(w, r)
			})),
			kind: fetch.Changed, text: "shorter", before: time.Minute, bytes: len(data),
		},
		"another file after a break without ranges": {
			handler: nth(noRanges(version(payload(9 << 20)[1:], `"v2"`)), only(1), cut(noRanges(whole), 4<<20)),
			kind:    fetch.Changed, text: "beginning", before: time.Minute, bytes: 4 << 20,
		},
		"another file in the place of a range": {
			handler: nth(later(noRanges(version(other, `"v2"`)).ServeHTTP), only(1), whole),
			kind:    fetch.Changed, before: time.Minute, bytes: len(data),
		},
		"a shorter file after a break without ranges": {
			handler: nth(noRanges(version(data[:1000], `"v2"`)), only(1), cut(noRanges(whole), 4<<20)),
			kind:    fetch.Changed, text: "shorter", before: time.Minute, bytes: 4 << 20,
		},
		"gone in the middle": {
			handler: nth(whole, func(n int64) bool { return n > 2 }, status(404)),
			kind:    fetch.NotFound, text: "404", before: 2 * time.Minute, bytes: len(data),
		},
		"an unknown scheme": {url: "gopher://mirror.example/", kind: fetch.Unsupported, text: "https://", before: time.Millisecond},
		"no host":           {url: "https:///web.bundle", kind: fetch.Unsupported, text: "host", before: time.Millisecond},
		"not a URL":         {url: "https://[s3cret?secret=s3", kind: fetch.Unsupported, text: "URL", before: time.Millisecond},
		"a relative file":   {url: "file://etc/passwd", kind: fetch.Unsupported, text: "absolute", before: time.Millisecond},
		"no file":           {url: "file:///does/not/exist", kind: fetch.NotFound, text: "no such file", before: time.Minute},
		"a folder":          {url: "file:///tmp", kind: fetch.Unsupported, text: "regular", before: time.Millisecond},
		"a device":          {url: "file:///dev/zero", kind: fetch.Unsupported, text: "regular", before: time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
				n := newNetwork(t, one(test.handler))
				url := mirrorURL + "?secret=s3"
				if test.url != "" {
					url = test.url
				}
				began := time.Now()
				got, s, err := fetchAll(ctx, n, fetch.Request{URLs: []string{url}, SHA256: test.sha256})
				took := time.Since(began)
				var trouble *fetch.Error
				if !errors.As(err, &trouble) || trouble.Kind != test.kind || !strings.Contains(err.Error(), test.text) {
					t.Fatalf("got %v, want kind %s and %q", err, test.kind, test.text)
				}
				if test.before == 0 && (took < 9*time.Minute || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("gave up after %s: %v", took, err)
				}
				if test.before > 0 && took > test.before {
					t.Errorf("gave up only after %s", took)
				}
				if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "secret=") || trouble.Hint == "" {
					t.Errorf("it leaks, or has no advice: %v", err)
				}
				if len(got) > test.bytes || !bytes.HasPrefix(data, got) {
					t.Errorf("%d bytes were handed out, or false ones", len(got))
				}
				if s != nil && s.SHA256() != "" {
					t.Errorf("a broken stream has a digest")
				}
			})
		})
	}
}
