// Package fetch turns URLs into one resumed, counted, digested stream.
//
// Open tries the mirrors of a Request in turn, round after round, until one
// serves. From then on the Stream is that mirror's file and no other: what breaks
// is asked for again from where it broke, and where the file changed in the
// meantime the stream fails rather than join two files. Read returns io.EOF only
// after size and digest were found right.
package fetch

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
)

const (
	firstRange   = 2 << 20 // the first request, which is the only one for a small file
	rangeSize    = 1 << 20 // one parallel request; more costs memory and gains nothing
	requests     = transport.Connections
	arriving     = 8         // requests whose bytes are taken: one buffer each, the others wait at their first byte
	plainBuffer  = 256 << 10 // read-ahead on a single connection: plainBuffers of these
	plainBuffers = 4

	mirrorPatience = time.Minute      // without a byte, until a stream gives up a mirror that has a stand-in
	firstPatience  = 15 * time.Second // in the first round, for an answer from a mirror that has a stand-in
	progressEvery  = 5 * time.Second
	mirrorRetries  = 2         // after the first, on one mirror in one round
	longest        = time.Hour // where ctx has no deadline
)

// Request says what to fetch.
type Request struct {
	// URLs are mirrors of the same file, in the order of preference: http, https,
	// s3://bucket/key[?versionId=ID] and file:///path.
	URLs []string
	// SHA256 is the whole file's, as lower-case hex. Empty: not known beforehand.
	SHA256 string

	past  map[string]past // of each URL that had to be given up: see Next
	pause time.Duration   // before it is opened
}

// Config is what a Client is made from.
type Config struct {
	Logger    *zap.Logger     // retries at debug, progress at info, trouble at warn
	Transport *http.Transport // from transport.New
	AWS       *aws.Client     // signs what s3 URLs name; nil: there are none
}

// Client opens streams. It is safe for concurrent use and holds nothing that
// needs closing.
type Client struct {
	log       *zap.Logger
	transport *http.Transport
	aws       *aws.Client
}

// New returns a client.
func New(c Config) *Client { return &Client{log: c.Logger, transport: c.Transport, aws: c.AWS} }

// Open returns the stream of the first mirror that serves. The caller closes it.
//
// Trouble that may pass is waited out until ctx's deadline (an hour, where it has
// none), answers that should be final for transport.Patience. The deadline covers
// the stream as well. Every error is an *Error.
func (c *Client) Open(ctx context.Context, r Request) (*Stream, error) {
	run, cancel := c.span(ctx)
	mirrors, err := c.mirrors(r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if transport.Sleep(run, r.pause) != nil {
		defer cancel(nil)
		return nil, mirrors[0].at().ended(run, nil)
	}
	found, err := c.choose(run, mirrors, r.past)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return c.start(run, cancel, found, r.SHA256), nil
}

// span returns the context of one stream: ended by the caller's, by the longest
// time a fetch may take, or by Close.
func (c *Client) span(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	release := func() {}
	if _, bounded := ctx.Deadline(); !bounded {
		ctx, release = context.WithTimeout(ctx, longest)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, func(cause error) { cancel(cause); release() }
}
