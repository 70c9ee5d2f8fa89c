// Package pipenet is a network in memory for tests: hosts by name, no socket, and
// so no wait that a synctest bubble's clock does not govern.
package pipenet

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

const connectTimeout = 10 * time.Second

// Dial is the shape of http.Transport.DialContext.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// New returns a way to connect to each handler under its host name, on any port. A
// nil handler is a host that lets every connection wait; other names are unknown.
// The servers end with the test.
func New(t testing.TB, hosts map[string]http.Handler) Dial {
	t.Helper()
	listeners := map[string]*listener{}
	for host, handler := range hosts {
		l := &listener{conns: make(chan net.Conn), done: make(chan struct{})}
		listeners[host] = l
		if handler == nil {
			continue
		}
		server := &http.Server{Handler: handler} //nolint:gosec // in memory: no slow client
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		l, ok := listeners[host]
		if !ok {
			return nil, failed(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true})
		}
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		client, server := net.Pipe()
		select {
		case l.conns <- server:
			return client, nil
		case <-ctx.Done():
			return nil, failed(ctx.Err())
		}
	}
}

func failed(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

type listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
