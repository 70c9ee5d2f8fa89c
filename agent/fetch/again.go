package fetch

import (
	"errors"
	"maps"
	"slices"
	"time"

	"startup-bundle/agent/transport"
)

// restartWait is the first restart's longest wait. A restart costs the file's bytes
// over again, so it waits longer than a request does.
const restartWait = time.Second

// past is what is known of a mirror that had to be given up.
type past struct {
	failures int       // streams of it that failed
	wrong    time.Time // since when each of them was a wrong file; zero: the last was not
	whole    bool      // ask for the whole file: parts of it did not belong together
	slow     bool      // the last was given up because it was slow
	rate     float64   // and had this many bytes per second
}

// wrongFileError is what a caller found wrong with a mirror's file.
type wrongFileError struct {
	url   string // as the request names it
	err   error
	again bool // the mirror may do better the next time
}

func (e *wrongFileError) Error() string { return e.err.Error() }
func (e *wrongFileError) Unwrap() error { return e.err }

// Wrong returns err, which says what is wrong with the file that s brought, as the
// mirror's fault: for [Request.Next]. again says that the same mirror may do better.
func (s *Stream) Wrong(err error, again bool) error { return &wrongFileError{s.place.raw, err, again} }

// Next returns the request to open after err ended a stream of r. The mirror that
// failed comes last in it, and is left out once its file has been a wrong one for
// transport.Patience, or at once if it cannot do better. Opening the request waits first if the mirror that is next has failed before. Next returns false if err
// is not a mirror's fault, or no mirror is left.
func (r Request) Next(err error) (Request, bool) {
	var (
		e     *Error
		wrong *wrongFileError
		url   string
	)
	switch {
	case errors.As(err, &e) && (e.lost || e.Kind == Changed || e.Kind == Digest):
		url = e.raw
	case e == nil && errors.As(err, &wrong):
		url = wrong.url
	default:
		return Request{}, false
	}
	now := time.Now()
	p := r.past[url]
	p.failures++
	p.slow = false
	switch {
	case e != nil && e.lost:
		p.wrong = time.Time{}
		p.slow, p.rate = e.slow, e.rate
	case p.wrong.IsZero():
		p.wrong, p.whole = now, true
	}
	next := Request{URLs: slices.Clone(r.URLs), SHA256: r.SHA256, past: maps.Clone(r.past)}
	if next.past == nil {
		next.past = map[string]past{}
	}
	next.past[url] = p
	stays := e != nil && e.Kind == Changed && p.failures == 1 // its new file is as good as any
	if !stays {
		next.URLs = slices.DeleteFunc(next.URLs, func(u string) bool { return u == url })
	}
	final := e != nil && e.Kind == Digest && scheme(url) == "file" || wrong != nil && (!wrong.again || scheme(url) == "file")
	over := !p.wrong.IsZero() && (final || now.Sub(p.wrong) >= transport.Patience)
	if !stays && !over {
		next.URLs = append(next.URLs, url)
	}
	if len(next.URLs) == 0 {
		return Request{}, false
	}
	if failed := next.past[next.URLs[0]].failures; failed > 0 {
		next.pause = transport.Backoff(restartWait, transport.MaxWait, failed-1, nil)
	}
	return next, true
}
