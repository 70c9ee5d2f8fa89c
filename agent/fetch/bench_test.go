package fetch_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
)

// throttled lets each connection have rate bytes a second, in slices of time short
// enough to look like a line, and no byte before delay.
type throttled struct {
	http.ResponseWriter

	rate  float64
	ready time.Time
}

func (t *throttled) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		time.Sleep(time.Until(t.ready))
		n := min(len(p)-sent, 128<<10)
		if _, err := t.ResponseWriter.Write(p[sent : sent+n]); err != nil {
			return sent, err
		}
		sent += n
		t.ready = t.ready.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
	}
	return sent, nil
}

// BenchmarkStream reads a file of 64 MiB from loopback.
func BenchmarkStream(b *testing.B) {
	const size = 64 << 20
	data := payload(size)
	path := filepath.Join(b.TempDir(), "web.bundle")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
	line := func(h http.Handler) http.Handler { // 80 MB/s a connection, 25 ms to the first byte
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&throttled{w, 80e6, time.Now().Add(25 * time.Millisecond)}, r)
		})
	}
	for _, bench := range []struct {
		name    string
		handler http.Handler
	}{
		{"file", nil},
		{"ranges", object(data)},
		{"one-body", noRanges(object(data))},
		{"ranges-throttled", line(object(data))},
		{"one-body-throttled", line(noRanges(object(data)))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			url := "file://" + path
			if bench.handler != nil {
				server := httptest.NewServer(bench.handler)
				defer server.Close()
				url = server.URL
			}
			rt, err := transport.New("")
			if err != nil {
				b.Fatal(err)
			}
			c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: rt})
			b.ReportAllocs()
			for b.Loop() {
				if n, err := readAll(b.Context(), c, url); n != size || err != nil {
					b.Fatalf("%d bytes: %v", n, err)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/1e6/b.Elapsed().Seconds(), "MB/s")
		})
	}
}

func readAll(ctx context.Context, c *fetch.Client, url string) (int64, error) {
	s, err := c.Open(ctx, fetch.Request{URLs: []string{url}})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return io.Copy(io.Discard, s)
}
