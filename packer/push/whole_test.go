package push

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"startup-bundle/internal/pipenet"
)

// slow is a body that calls off the upload before it hands out byte number at.
type slow struct {
	io.Reader
	sent, at int
	off      func()
}

func (s *slow) Read(p []byte) (int, error) {
	if s.sent >= s.at {
		s.off()
		synctest.Wait()
	}
	n, err := s.Reader.Read(p[:min(len(p), 1000)])
	s.sent += n
	return n, err
}

func (*slow) Close() error { return nil }

func TestAnUploadIsCutOrAnswered(t *testing.T) {
	const size = 100_000
	for name, test := range map[string]struct {
		off    int           // bytes sent when it is called off
		answer time.Duration // that the server takes for one
		whole  bool          // the server has the body
		status int           // 0: no answer
		took   time.Duration
	}{
		"never called off":                 {off: size + 1, answer: time.Minute, whole: true, status: 200, took: time.Minute},
		"called off on the way":            {off: size / 2},
		"called off before the last byte":  {off: size - 1000},
		"called off after it":              {off: size, answer: time.Second, whole: true, status: 200, took: time.Second},
		"called off and never answered it": {off: size, answer: time.Hour, whole: true, took: abortPatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := make(chan int64, 1)
				client := &http.Client{Transport: &http.Transport{DialContext: pipenet.New(t, map[string]http.Handler{
					"s3": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						n, err := io.Copy(io.Discard, r.Body)
						got <- n
						if err != nil {
							return
						}
						select {
						case <-time.After(test.answer):
							_, _ = io.WriteString(w, "answer")
						case <-r.Context().Done():
						}
					}),
				})}}
				defer client.CloseIdleConnections()
				ctx, off := context.WithCancel(t.Context())
				defer off()
				body := &slow{Reader: bytes.NewReader(make([]byte, size)), at: test.off, off: off}
				r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://s3/part", body)
				if err != nil {
					t.Fatal(err)
				}
				r.ContentLength = size
				began := time.Now()
				resp, err := whole{client}.Do(r)
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %s", took)
				}
				if n := <-got; (n == size) != test.whole {
					t.Errorf("the server got %d bytes", n)
				}
				if test.status == 0 {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("error %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if text, err := io.ReadAll(resp.Body); resp.StatusCode != test.status || string(text) != "answer" || err != nil {
					t.Errorf("%s: %q, %v", resp.Status, text, err)
				}
			})
		})
	}
}
