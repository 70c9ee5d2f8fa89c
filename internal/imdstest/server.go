package imdstest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves metadata until Close.
type Server struct {
	// URL is the value for AWS_EC2_METADATA_SERVICE_ENDPOINT, without a slash
	// at its end.
	URL string

	server   *http.Server
	listener net.Listener
	done     chan struct{} // closed when Serve has returned
}

// NewServer starts [Handler] on a free loopback port. The caller closes it.
func NewServer(instance Instance, faults ...Fault) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for instance metadata: %w", err)
	}
	return serve(Handler(instance, faults...), listener), nil
}

// NewPipe starts [Handler] on connections in memory, which [Server.Dial] makes:
// inside a bubble of testing/synctest the network is real in everything but
// its packets. The caller closes it.
func NewPipe(instance Instance, faults ...Fault) *Server {
	return serve(Handler(instance, faults...), &pipe{conns: make(chan net.Conn), closed: make(chan struct{})})
}

func serve(handler http.Handler, listener net.Listener) *Server {
	s := &Server{
		URL: "http://" + listener.Addr().String(),
		server: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0), // faults panic on purpose
		},
		listener: listener,
		done:     make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener)
	}()
	return s
}

// Close cuts every connection and waits until none is served any more.
func (s *Server) Close() {
	_ = s.server.Close()
	<-s.done
}

// Dial connects to a server that NewPipe made, whatever the address.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p, ok := s.listener.(*pipe)
	if !ok {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.listener.Addr().String())
	}
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipe is a listener in memory.
type pipe struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "metadata.invalid" }
