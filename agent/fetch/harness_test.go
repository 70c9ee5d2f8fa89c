package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/pipenet"
)

const mirrorURL = "http://mirror.example/web.bundle"

// network is how a client under test reaches the servers of one test.
type network struct{ transport *http.Transport }

func newNetwork(t testing.TB, hosts map[string]http.Handler) *network {
	t.Helper()
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	rt.Proxy = nil
	rt.DialContext = pipenet.New(t, hosts)
	t.Cleanup(rt.CloseIdleConnections)
	return &network{rt}
}

// payload returns n bytes that no compression or shift leaves alike.
func payload(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// object serves data as S3 or nginx would: ranges, conditions, a strong ETag.
func object(data []byte) http.HandlerFunc { return version(data, `"v1"`) }

func version(data []byte, etag string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// bubble runs f where time is fake, with a deadline of d for its context.
func bubble(t *testing.T, d time.Duration, f func(t *testing.T, ctx context.Context)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		f(t, ctx)
	})
}

// fetchAll opens r and reads it to its end.
func fetchAll(ctx context.Context, n *network, r fetch.Request) ([]byte, *fetch.Stream, error) {
	return fetchWith(ctx, fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: n.transport}), r)
}

func fetchWith(ctx context.Context, c *fetch.Client, r fetch.Request) ([]byte, *fetch.Stream, error) {
	s, err := c.Open(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(s)
	_ = s.Close()
	return data, s, err
}

// cutter lets through n bytes of a body and breaks the connection then.
type cutter struct {
	http.ResponseWriter

	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// counter counts requests by what they asked for.
type counter struct {
	http.Handler

	mu   sync.Mutex
	seen []string
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.seen = append(c.seen, fmt.Sprintf("%s if-range=%s if-match=%s", r.Header.Get("Range"), r.Header.Get("If-Range"), r.Header.Get("If-Match")))
	c.mu.Unlock()
	c.Handler.ServeHTTP(w, r)
}

func (c *counter) requests() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.seen, "\n")
}
