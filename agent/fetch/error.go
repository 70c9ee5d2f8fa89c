package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
)

// Kind is what went wrong, for callers that branch and for the log.
type Kind string

// The kinds of trouble.
const (
	NotFound    Kind = "not found"
	Denied      Kind = "access denied"
	Refused     Kind = "refused"     // any other final answer
	Network     Kind = "network"     // no connection, a broken or stalled one, a busy server
	TLS         Kind = "tls"         // the server's certificate, or no TLS at all
	Proxy       Kind = "proxy"       // which refuses to connect
	Redirect    Kind = "redirect"    // a loop, away from https, or to nowhere
	Digest      Kind = "digest"      // the file is whole, but not the one asked for
	Changed     Kind = "changed"     // the file was replaced while it was read
	Unsupported Kind = "unsupported" // not a URL that can be fetched
	Deadline    Kind = "deadline"    // ctx's deadline came first
	Interrupted Kind = "interrupted" // ctx was cancelled, or the stream closed
)

// hint says what a person can do about k.
func (k Kind) hint() string {
	switch k {
	case NotFound:
		return "check the path, and that the file was uploaded"
	case Denied:
		return "check that the URL is still valid, or what the bucket's policy allows"
	case Refused:
		return "check the URL with curl from this network"
	case Network:
		return "check DNS, route, security group and proxy settings of this network"
	case TLS:
		return "check this machine's clock, and that the server's CA is among the system's or in the CA file"
	case Proxy:
		return "check HTTPS_PROXY and NO_PROXY, and what the proxy allows"
	case Redirect:
		return "give the URL that the redirects should end at"
	case Digest:
		return "upload the file again, or pin the sha256 of the new one"
	case Changed:
		return "fetch again; upload a new file under a new name"
	case Unsupported:
		return "use https://, s3://bucket/key, http:// or file:///path"
	case Deadline:
		return "raise timeout: in the userdata, or serve the file from a faster place"
	case Interrupted:
		return "fetch again"
	default:
		return ""
	}
}

// Error is any failure of this package.
type Error struct {
	Kind    Kind
	URL     string // redacted
	Mirror  int    // its place in Request.URLs, from 1; 0: none in particular
	Mirrors int    // how many there are
	Attempt int    // from 1: the round, or the try at one place of a running stream
	Status  int    // of HTTP, 0 where there was no answer
	Err     error  // the cause, free of URLs' queries
	Hint    string // what to do next

	raw        string        // the mirror as the request names it
	lost       bool          // a running stream broke for good; a mirror may serve
	slow       bool          // lost because another mirror may be faster
	rate       float64       // in bytes per second, if slow
	retryAfter time.Duration // asked for by the server, capped
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("fetch")
	if e.URL != "" {
		b.WriteString(" " + e.URL)
	}
	if e.Mirrors > 1 && e.Mirror > 0 {
		fmt.Fprintf(&b, " (mirror %d of %d)", e.Mirror, e.Mirrors)
	}
	if e.Attempt > 1 {
		fmt.Fprintf(&b, " (attempt %d)", e.Attempt)
	}
	fmt.Fprintf(&b, ": %s", e.Kind)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", e.Err)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "; %s", e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// hopeless reports whether waiting cannot help.
func (e *Error) hopeless() bool { return e.Kind == Unsupported }

// unidentified reports whether nothing could be signed: the server was not asked.
func (e *Error) unidentified() bool { return unidentified(e) }

func unidentified(err error) bool {
	var identity *aws.IdentityError
	return errors.As(err, &identity)
}

// final reports whether e looks like an answer that does not change with time.
func (e *Error) final() bool { return e.Kind != Network }

// place is which mirror an error is about.
type place struct {
	URL, raw        string
	Mirror, Mirrors int
}

// place returns which mirror e is about.
func (e *Error) place() place {
	return place{URL: e.URL, raw: e.raw, Mirror: e.Mirror, Mirrors: e.Mirrors}
}

// fail returns the error of kind at p.
func (p place) fail(kind Kind, cause error) *Error {
	return &Error{
		Kind: kind, URL: p.URL, Mirror: p.Mirror, Mirrors: p.Mirrors, raw: p.raw,
		Err: cause, Hint: kind.hint(),
	}
}

// wrap returns err as an *Error at p. What is not one yet came from the network
// or from a file.
func (p place) wrap(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	err = transport.Bare(err)
	e := p.fail(kindOfError(err), scrub(err))
	if e.unidentified() {
		e.Err, e.Hint = err, "" // it is of our own words, and has a hint
	}
	var handshake *transport.HandshakeError
	if errors.As(err, &handshake) && handshake.PlainHTTP() {
		e.Hint = "use the port that serves https, or http:// with the bundle's sha256"
	}
	return e
}

// kindOfError returns the kind of a request or a file that failed without an answer.
func kindOfError(err error) Kind {
	var (
		redirect *transport.RedirectError
		proxy    *transport.ProxyError
		protocol *transport.ProtocolError
	)
	switch {
	case unidentified(err):
		return Denied
	case errors.As(err, &redirect):
		return Redirect
	case errors.As(err, &proxy) && !proxy.Busy():
		return Proxy
	case errors.As(err, &protocol), errors.Is(err, errWrongRange), errors.Is(err, errContentRange), errors.Is(err, errRangeIgnored):
		return Refused
	case transport.Untrusted(err):
		return TLS
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission):
		return Denied
	default:
		return Network
	}
}

var errClosed = errors.New("the stream was closed")

// ended returns the error for a ctx that ended while last was the trouble (nil:
// none).
func (p place) ended(ctx context.Context, last error) *Error {
	kind, cause := Interrupted, context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		kind = Deadline
	}
	if !errors.Is(cause, ctx.Err()) { // callers branch on ctx's own error
		cause = fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	e := p.fail(kind, cause)
	var trouble *Error
	if errors.As(last, &trouble) && trouble.Kind != Interrupted && trouble.Kind != Deadline {
		e.Attempt, e.Status = trouble.Attempt, trouble.Status
		e.Err = fmt.Errorf("%w; the last trouble was: %s: %w", cause, trouble.Kind, trouble.Err)
		e.Hint = trouble.Hint
	}
	return e
}

// unanswered is ended for a request that had no answer yet.
func (p place) unanswered(ctx context.Context, last error) *Error {
	e := p.ended(ctx, last)
	if e.Kind == Deadline && e.Hint == Deadline.hint() { // nothing else is known
		e.Err, e.Hint = fmt.Errorf("%w; the server had not answered yet", e.Err), Network.hint()
	}
	return e
}

// scrubbed is an error whose text was made fit to print.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.err }

// scrub returns err with every query and userinfo taken out of its text: a
// server's Location, for one, is quoted in the errors of net/http.
func scrub(err error) error {
	words := strings.Fields(transport.Printable(err.Error()))
	for i, word := range words {
		if cut := strings.IndexByte(word, '?'); cut >= 0 {
			words[i] = word[:cut] + "?redacted"
		}
		if scheme, rest, found := strings.Cut(words[i], "://"); found && strings.Contains(rest, "@") {
			words[i] = scheme + "://redacted@" + rest[strings.LastIndexByte(rest, '@')+1:]
		}
	}
	return &scrubbed{strings.Join(words, " "), err}
}
