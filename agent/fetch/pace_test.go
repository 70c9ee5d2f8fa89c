package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
)

// paced gives each answer of handler so many bytes a second.
func paced(handler http.Handler, rate float64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(&pacedWriter{w, rate, r.Context().Done()}, r)
	}
}

type pacedWriter struct {
	http.ResponseWriter

	rate float64
	gone <-chan struct{}
}

func (p *pacedWriter) Write(data []byte) (int, error) {
	step := max(int(p.rate/10), 1)
	for done := 0; done < len(data); done += step {
		part := data[done:min(done+step, len(data))]
		select {
		case <-time.After(time.Duration(float64(len(part)) / p.rate * float64(time.Second))):
		case <-p.gone:
			panic(http.ErrAbortHandler)
		}
		if _, err := p.ResponseWriter.Write(part); err != nil {
			return done, err
		}
		_ = http.NewResponseController(p.ResponseWriter).Flush()
	}
	return len(data), nil
}

func TestABadFirstMirrorLosesToAGoodSecond(t *testing.T) {
	data := payload(3_000_000)
	whole := object(data)
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, test := range map[string]struct {
		first  http.Handler
		within time.Duration
	}{
		"it accepts no connection":          {nil, 15 * time.Second},
		"it never answers":                  {silent, 20 * time.Second},
		"it never answers after a redirect": {nth(silent, only(1), http.RedirectHandler("/next", http.StatusFound).ServeHTTP), 20 * time.Second},
		"it stops after some bytes":         {hang(whole, 1000), 40 * time.Second},
		"it stops without ranges":           {hang(noRanges(whole), 1<<20), 40 * time.Second},
		"a range of it hangs":               {nth(whole, func(n int64) bool { return n > 1 }, silent), 40 * time.Second},
		"a byte every 3 s":                  {paced(noRanges(whole), 1.0/3), 40 * time.Second},
		"a byte every 3 s, with ranges":     {paced(whole, 1.0/3), 40 * time.Second},
		"20 kB/s":                           {paced(whole, 20e3), 40 * time.Second},
		"49 kB/s without ranges":            {paced(noRanges(whole), 49e3), 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
				began := time.Now()
				n := newNetwork(t, map[string]http.Handler{"mirror.example": test.first, "good.example": whole})
				got, err := bringIn(ctx, n, fetch.Request{URLs: []string{mirrorURL, "http://good.example/"}})
				if took := time.Since(began); err != nil || !bytes.Equal(got, data) || took > test.within {
					t.Errorf("%d bytes in %v: %v", len(got), took, err)
				}
			})
		})
	}
}

// A slow mirror is better than none.
func TestASlowMirrorServesIfNoneIsFaster(t *testing.T) {
	data := payload(3_000_000)
	whole := noRanges(object(data))
	slow := paced(whole, 20e3)
	for name, test := range map[string]struct {
		second http.Handler // nil: there is none
		within time.Duration
	}{
		"it is the only one":            {nil, 151 * time.Second},
		"the other is missing":          {status(404), 200 * time.Second},
		"the other is busy":             {status(503), 200 * time.Second},
		"the other is denied":           {status(403), 200 * time.Second},
		"the other has the wrong file":  {object(data[1:]), 200 * time.Second},
		"the other never answers":       {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), 250 * time.Second},
		"the other stops":               {hang(whole, 1000), 250 * time.Second},
		"the other is much slower":      {paced(whole, 1e3), 250 * time.Second},
		"the other is a little slower":  {paced(whole, 15e3), 250 * time.Second},
		"the other drips":               {paced(whole, 1), 250 * time.Second},
		"the other is as slow":          {slow, 200 * time.Second},
		"the other is somewhat faster":  {paced(whole, 30e3), 200 * time.Second},
		"the other is slow with ranges": {paced(object(data), 20e3), 200 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
				began := time.Now()
				hosts := map[string]http.Handler{"mirror.example": slow}
				urls := []string{mirrorURL}
				if test.second != nil {
					hosts["second.example"] = test.second
					urls = append(urls, "http://second.example/")
				}
				got, err := bringIn(ctx, newNetwork(t, hosts), fetch.Request{URLs: urls, SHA256: digest(data)})
				if took := time.Since(began); err != nil || !bytes.Equal(got, data) || took > test.within {
					t.Errorf("%d bytes in %v: %v", len(got), took, err)
				}
			})
		})
	}
}

func TestAMirrorIsNotGivenUpForWhatIsNotItsFault(t *testing.T) {
	data := payload(2_000_000)
	for name, test := range map[string]struct {
		first http.Handler
		pause time.Duration // of the reader, after each 64 KiB
	}{
		"a slow reader":            {object(data), 10 * time.Second},
		"60 kB/s":                  {paced(noRanges(object(data)), 60e3), 0},
		"soon done":                {paced(noRanges(object(data)), 45e3), 0},
		"10 s to the first byte":   {nth(object(data), only(1), func(w http.ResponseWriter, r *http.Request) { time.Sleep(10 * time.Second); object(data)(w, r) }), 0},
		"a slow reader of a drip":  {paced(noRanges(object(data)), 60e3), 2 * time.Second},
		"a slow start, then speed": {nth(object(data), only(1), cut(paced(object(data), 60e3), 300_000)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, time.Hour, func(t *testing.T, ctx context.Context) {
				second := &meter{Handler: object(data)}
				n := newNetwork(t, map[string]http.Handler{"mirror.example": test.first, "second.example": second})
				c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: n.transport})
				s, err := c.Open(ctx, fetch.Request{URLs: []string{mirrorURL, "http://second.example/"}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				var got bytes.Buffer
				for err == nil {
					_, err = io.CopyN(&got, s, 64<<10)
					time.Sleep(test.pause)
				}
				if !errors.Is(err, io.EOF) || !bytes.Equal(got.Bytes(), data) || second.requests.Load() > 0 {
					t.Errorf("%d bytes, the second was asked %d times: %v", got.Len(), second.requests.Load(), err)
				}
			})
		})
	}
}

func TestADeadlineSaysWhatWasWaitedFor(t *testing.T) {
	data := payload(3_000_000)
	whole := object(data)
	for name, test := range map[string]struct {
		handler http.Handler
		want    string
	}{
		"a drip":          {paced(noRanges(whole), 1), " of 3000000 bytes came in "},
		"a slow server":   {paced(whole, 1000), "the server is slow: "},
		"no size":         {paced(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }), 1), "the server is slow: "},
		"a stalled first": {hang(whole, 1000), "no byte came for 30s"},
		"busy for ever":   {status(503), "503"},
		"no answer":       {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "the server had not answered yet"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
				_, err := bringIn(ctx, newNetwork(t, one(test.handler)), fetch.Request{URLs: []string{mirrorURL}})
				var e *fetch.Error
				if !errors.As(err, &e) || e.Kind != fetch.Deadline || !strings.Contains(err.Error(), test.want) || strings.Contains(e.Hint, "last trouble") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestCompressionOnTheWayIsNamed(t *testing.T) {
	data := payload(1000)
	bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
		n := newNetwork(t, one(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(data)
		})))
		got, s, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}})
		if err != nil || !bytes.Equal(got, data) || !strings.Contains(s.Aside(), `Content-Encoding "gzip"`) {
			t.Errorf("%d bytes, %q: %v", len(got), s.Aside(), err)
		}
		_, _, err = fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}, SHA256: digest(nil)})
		if err == nil || !strings.Contains(err.Error(), "Content-Encoding") {
			t.Errorf("got %v", err)
		}
	})
}
