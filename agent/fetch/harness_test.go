package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

const mirrorURL = "http://mirror.example/web.bundle"

// network connects a client to handlers by host name, all in memory, so that a
// synctest bubble's clock governs every wait.
type network struct {
	listeners map[string]*pipes
	transport *http.Transport
}

// pipes is a net.Listener of net.Pipe ends.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// newNetwork serves each handler under its host name. A nil handler is a host that
// never answers a connection. It ends with the test.
func newNetwork(t *testing.T, hosts map[string]http.Handler) *network {
	t.Helper()
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{listeners: map[string]*pipes{}, transport: rt}
	for host, handler := range hosts {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		n.listeners[host] = l
		if handler == nil {
			continue
		}
		server := &http.Server{Handler: handler, ErrorLog: nil} //nolint:gosec // in memory
		go server.Serve(l)                                      //nolint:errcheck // ends with Close
		t.Cleanup(func() { _ = server.Close() })
	}
	rt.Proxy = nil
	rt.DialContext = n.dial
	t.Cleanup(rt.CloseIdleConnections)
	return n
}

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	l, ok := n.listeners[host]
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	ctx, cancel := context.WithTimeout(ctx, transport.ConnectTimeout)
	defer cancel()
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	}
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
