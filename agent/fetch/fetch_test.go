package fetch_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"startup-bundle/agent/fetch"
)

func TestAFileOfAnySizeArrivesWhole(t *testing.T) {
	const mib = 1 << 20
	for name, size := range map[string]int{
		"empty": 0, "one byte": 1, "one byte less than a range": 2*mib - 1, "a range": 2 * mib,
		"a byte more": 2*mib + 1, "many ranges": 23*mib + 7,
	} {
		for server, handler := range map[string]func([]byte) http.Handler{
			"with ranges": func(data []byte) http.Handler { return object(data) },
			"without": func(data []byte) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Del("Range")
					object(data)(w, r)
				})
			},
			"without a size": func(data []byte) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_ = http.NewResponseController(w).Flush()
					_, _ = w.Write(data)
				})
			},
		} {
			t.Run(name+" "+server, func(t *testing.T) {
				bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
					data := payload(size)
					n := newNetwork(t, map[string]http.Handler{"mirror.example": handler(data)})
					got, s, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}, SHA256: digest(data)})
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("got %d bytes, %v", len(got), err)
					}
					if s.SHA256() != digest(data) || s.Bytes() != int64(size) || s.URL() != mirrorURL || s.Scheme() != "http" {
						t.Errorf("sha256 %s, bytes %d, url %s, scheme %s", s.SHA256(), s.Bytes(), s.URL(), s.Scheme())
					}
				})
			})
		}
	}
}

func TestRangesAreHeldToOneVersion(t *testing.T) {
	bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
		data := payload(5<<20 + 1)
		seen := &counter{Handler: object(data)}
		n := newNetwork(t, map[string]http.Handler{"mirror.example": seen})
		if _, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"bytes=0-2097151 if-range= if-match=",
			`bytes=2097152-3145727 if-range= if-match="v1"`,
			`bytes=5242880-5242880 if-range= if-match="v1"`,
		} {
			if !strings.Contains(seen.requests(), want) {
				t.Errorf("no request for %s among\n%s", want, seen.requests())
			}
		}
	})
}
