package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// The throttled link: what one connection to an object store gives.
const (
	firstByte = 25 * time.Millisecond
	perSecond = 80e6 // bytes, on each connection
	slice     = 128 << 10
)

// The links, as first part of a URL's path.
const (
	linkFast = "fast"
	linkSlow = "slow"
)

// server serves the files below a folder, at /fast/NAME and /slow/NAME, with
// ranges and ETags.
type server struct {
	url  string
	http *http.Server
}

func newServer(dir string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &server{url: "http://" + listener.Addr().String()}
	s.http = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: handler(dir)}
	go func() { _ = s.http.Serve(listener) }()
	return s, nil
}

func (s *server) close() { _ = s.http.Close() }

func handler(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		link, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		w.Header().Set("ETag", fmt.Sprintf("%q", name)) // made once, never changed
		if link == linkSlow {
			if pause(r.Context(), firstByte) != nil {
				return
			}
			w = &throttled{ResponseWriter: w, ctx: r.Context(), began: time.Now()}
		}
		http.ServeFile(w, r, filepath.Join(dir, filepath.FromSlash(name)))
	})
}

// throttled lets an answer's body through at perSecond.
type throttled struct {
	http.ResponseWriter

	ctx   context.Context //nolint:containedctx // the request's, for one answer
	began time.Time
	sent  int64
}

// ReadFrom passes slices on to the connection's own ReadFrom, which lets the
// kernel copy: the server must not take the contenders' processor time.
func (t *throttled) ReadFrom(r io.Reader) (int64, error) {
	left := int64(1) << 62
	if l, ok := r.(*io.LimitedReader); ok {
		r, left = l.R, l.N
	}
	var total int64
	for total < left {
		n, err := io.CopyN(t.ResponseWriter, r, min(slice, left-total))
		total += n
		t.sent += n
		switch {
		case err == io.EOF: //nolint:errorlint // CopyN's own
			return total, nil
		case err != nil:
			return total, err
		}
		due := time.Duration(float64(t.sent) / perSecond * float64(time.Second))
		if err := pause(t.ctx, due-time.Since(t.began)); err != nil {
			return total, err
		}
	}
	return total, nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
