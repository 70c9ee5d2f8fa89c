package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Stream is one file, read front to back. Its bytes arrive on goroutines of its
// own, read ahead within a fixed amount of memory: 1 MiB, or 10 MiB with parallel
// ranges. Read and Close may be called from different goroutines, Read from one
// at a time.
type Stream struct {
	place  place
	size   int64
	coding string // Content-Encoding, if any
	feed   *feed
	hunger hunger
	rest   piece // what Read has not handed out yet
	err    error // why the feed ended; set before it is closed
	cancel context.CancelCauseFunc
	closed atomic.Bool
	done   chan struct{}
}

// start pumps the chosen file into a new stream.
func (c *Client) start(ctx context.Context, cancel context.CancelCauseFunc, m choice, want string) *Stream {
	s := &Stream{
		place: m.at(), size: m.first.size, coding: m.first.encoding, cancel: cancel, done: make(chan struct{}),
		feed: &feed{out: make(chan piece, arriving), sum: sha256.New()},
	}
	go s.watch(ctx, c.log)
	if m.floor > 0 {
		go s.keepPace(m.floor)
	}
	go func() {
		defer close(s.feed.out)
		defer close(s.done) // first, so that who sees the end of out sees this too
		began := time.Now()
		err := m.pump(ctx, m.first, s.feed)
		c.transport.CloseIdleConnections() // their buffers are not needed while the bundle is used
		s.err = s.ended(ctx, err, want, time.Since(began))
		if s.err == io.EOF { //nolint:errorlint // ended's own
			c.log.Info("fetched", zap.String("url", s.place.URL), zap.Int64("bytes", s.feed.count.Load()),
				zap.String("sha256", s.feed.digest()), zap.Duration("duration", time.Since(began)))
		}
	}()
	return s
}

// ended returns what Read returns after the last byte: io.EOF if the whole file came
// and is the one asked for. err is pump's.
func (s *Stream) ended(ctx context.Context, err error, want string, took time.Duration) error {
	var (
		slow *slowError
		e    *Error
	)
	switch {
	case err == nil:
		return s.verify(want)
	case errors.As(context.Cause(ctx), &slow):
		e = s.place.fail(Network, slow)
		e.lost, e.slow, e.rate = true, true, slow.rate
		return e
	case errors.As(err, &e) && e.Kind == Deadline:
		s.tooLate(e, took)
	}
	return err
}

// verify returns io.EOF if the whole file is the one asked for.
func (s *Stream) verify(want string) error {
	got := s.feed.digest()
	if want == "" || got == want {
		return io.EOF
	}
	err := fmt.Errorf("the sha256 of the whole file is %s, not %s", got, want)
	if s.coding != "" {
		err = fmt.Errorf("%w; %s", err, s.Aside())
	}
	return s.place.fail(Digest, err)
}

// Aside returns what else to know if the file turns out to be a wrong one, or nothing.
func (s *Stream) Aside() string {
	if s.coding == "" {
		return ""
	}
	return fmt.Sprintf("it came with Content-Encoding %q and is read as it came: turn compression off for bundles at the server", s.coding)
}

// Read reads the file's next bytes. It returns io.EOF only once the size is the
// announced one and the digest the requested one; every other error is an *Error
// and means that nothing read so far can be trusted.
func (s *Stream) Read(p []byte) (int, error) {
	for len(s.rest.data) == 0 {
		s.rest.release()
		next, ok := s.next()
		switch {
		case ok:
			s.rest = next
		case s.closed.Load():
			return 0, s.place.fail(Interrupted, errClosed)
		default:
			return 0, s.err
		}
	}
	n := copy(p, s.rest.data)
	s.rest.data = s.rest.data[n:]
	return n, nil
}

// next takes the next piece, and counts the time that it has to wait for it.
func (s *Stream) next() (next piece, ok bool) {
	select {
	case next, ok = <-s.feed.out:
		return next, ok
	default:
	}
	s.hunger.begin()
	defer s.hunger.end()
	next, ok = <-s.feed.out
	return next, ok
}

// Discard drops what is left, at most limit bytes of it, and returns the error that Read
// ends with; nil if there is more, or ctx ends. A Read that has not returned yet does no harm.
func (s *Stream) Discard(ctx context.Context, limit int64) error {
	for limit > 0 {
		select {
		case p, ok := <-s.feed.out:
			if !ok {
				return s.err
			}
			limit -= int64(len(p.data))
			p.release()
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// Close ends the stream, wherever it is, and waits for its goroutines. It always
// returns nil and may be called again.
func (s *Stream) Close() error {
	s.closed.Store(true)
	s.cancel(errClosed)
	<-s.done
	return nil
}

// URL returns the mirror that serves, as the request names it: not redacted.
func (s *Stream) URL() string { return s.place.raw }

// Scheme returns the scheme of URL in lower case: http, https, s3 or file.
func (s *Stream) Scheme() string { return scheme(s.place.raw) }

// Size returns the announced size in bytes, or -1 where none is.
func (s *Stream) Size() int64 { return s.size }

// Bytes returns how many bytes have arrived; after io.EOF, the file's size.
func (s *Stream) Bytes() int64 { return s.feed.count.Load() }

// SHA256 returns the whole file's digest in lower-case hex once Read has returned
// io.EOF, and nothing before that.
func (s *Stream) SHA256() string {
	select {
	case <-s.done:
		if s.err == io.EOF { //nolint:errorlint // verify's own
			return s.feed.digest()
		}
	default:
	}
	return ""
}

// watch logs the progress until the stream ends.
func (s *Stream) watch(ctx context.Context, log *zap.Logger) {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	var before int64
	for {
		select {
		case <-s.done:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := s.feed.count.Load()
			log.Info("still fetching", s.progress(now, now-before)...)
			before = now
		}
	}
}

// progress describes now bytes, of which news came since the last time.
func (s *Stream) progress(now, news int64) []zap.Field {
	rate := float64(news) / progressEvery.Seconds()
	fields := []zap.Field{
		zap.String("url", s.place.URL), zap.Int64("bytes", now), zap.Int64("size", s.size),
		zap.Int64("bytes_per_second", int64(rate)),
	}
	if s.size >= now && rate > 0 {
		left := time.Duration(float64(s.size-now) / rate * float64(time.Second))
		fields = append(fields, zap.Duration("remaining", left.Round(time.Second)))
	}
	return fields
}

// piece is some bytes on their way to the reader.
type piece struct {
	data  []byte
	whole []byte        // the buffer that data is the last part of, or nil
	free  chan<- []byte // where whole goes back to
}

// release gives the buffer back. The channel has room for every buffer.
func (p *piece) release() {
	if p.whole != nil {
		p.free <- p.whole
	}
	*p = piece{}
}

// feed carries pieces in order from the one goroutine that puts them to the
// reader, and digests them on the way.
type feed struct {
	out   chan piece
	sum   hash.Hash
	count atomic.Int64
}

// put sends p, or returns ctx's error.
func (f *feed) put(ctx context.Context, p piece) error {
	_, _ = f.sum.Write(p.data)
	f.count.Add(int64(len(p.data)))
	select {
	case f.out <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// digest returns the digest of what was put, in hex.
func (f *feed) digest() string { return hex.EncodeToString(f.sum.Sum(nil)) }

// drain puts body's bytes until it ends; total is what the file has to hold in
// the end (-1: not known), and io.ErrUnexpectedEOF is returned where it does not.
func (f *feed) drain(ctx context.Context, body io.Reader, total int64, free chan []byte) error {
	for {
		var buffer []byte
		select {
		case buffer = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if buffer == nil {
			buffer = make([]byte, plainBuffer)
		}
		n, err := body.Read(buffer)
		if putErr := f.put(ctx, piece{data: buffer[:n], whole: buffer, free: free}); putErr != nil {
			return putErr
		}
		switch {
		case err == io.EOF && total >= 0 && f.count.Load() < total:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// buffers returns a channel of n buffers to be; nil ones are made on first use.
func buffers(n int) chan []byte {
	free := make(chan []byte, n)
	for range n {
		free <- nil
	}
	return free
}
