package fetch

import (
	"context"
	"errors"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/transport"
	"startup-bundle/internal/secret"
)

// mirror is one place that may hold the file.
type mirror interface {
	// open asks for the file. The caller closes the answer or pumps it.
	open(ctx context.Context) (*answer, error)
	// pump sends the whole file to f, beginning with first, which it closes.
	pump(ctx context.Context, first *answer, f *feed) error
	// at names the mirror.
	at() place
}

// mirrors returns what r names. A URL that cannot be fetched is an error only
// where there is no other.
func (c *Client) mirrors(r Request) ([]mirror, error) {
	if len(r.URLs) == 0 {
		return nil, place{}.fail(Unsupported, errors.New("no URL is given"))
	}
	var (
		found []mirror
		wrong error
	)
	for i, raw := range r.URLs {
		p := place{URL: secret.URL(raw), raw: raw, Mirror: i + 1, Mirrors: len(r.URLs)}
		m, err := c.mirror(p, r)
		if err != nil {
			wrong = p.fail(Unsupported, err)
			c.log.Warn("mirror skipped", zap.Error(wrong))
			continue
		}
		found = append(found, m)
	}
	if len(found) == 0 {
		return nil, wrong
	}
	return found, nil
}

// mirror returns what p names.
func (c *Client) mirror(p place, r Request) (mirror, error) {
	pinned, whole := r.SHA256 != "", r.past[p.raw].whole
	switch scheme(p.raw) {
	case "http", "https":
		u, err := url.Parse(p.raw)
		if err != nil || u.Host == "" {
			return nil, errors.New("it has no host, or is not a URL at all")
		}
		return newRemote(c, p, u, transport.Locate(transport.Watch(c.transport)), pinned, whole), nil
	case "s3":
		if c.aws == nil {
			return nil, errors.New("nobody signs requests here")
		}
		object, err := c.aws.Object(p.raw)
		if err != nil {
			return nil, err
		}
		// The object knows its address; this one only looks like it.
		r := newRemote(c, p, &url.URL{Scheme: "https", Host: "s3.invalid", Path: "/"}, object, pinned, whole)
		r.client.HTTPClient.CheckRedirect = transport.NoRedirect
		r.object = object
		return r, nil
	case "file":
		_, path, ok := strings.Cut(p.raw, "://")
		if !ok || !filepath.IsAbs(path) {
			return nil, errors.New("a file URL names an absolute path: file:///path")
		}
		path, err := url.PathUnescape(path)
		if err != nil || strings.ContainsRune(path, 0) {
			return nil, errors.New("its path has a bad % escape: write %25 for a %")
		}
		return &local{place: p, path: filepath.Clean(path)}, nil
	default:
		return nil, errors.New("its scheme is not known")
	}
}

// scheme returns what stands before raw's first colon, in lower case. The rest need
// not be a URL: a key of S3 may hold any character.
func scheme(raw string) string {
	name, _, _ := strings.Cut(raw, ":")
	return strings.ToLower(name)
}

// choice is the mirror that serves.
type choice struct {
	mirror

	first *answer
	floor float64 // of its bytes per second: below it another mirror may do better; 0: none can
}

// choose tries the mirrors in turn, round after round, and returns the first that
// answers. In the first round one that has a stand-in gets firstPatience.
func (c *Client) choose(ctx context.Context, mirrors []mirror, known map[string]past) (found choice, err error) {
	var (
		last  error
		round int
		down  = make([]bool, len(mirrors)) // it did not answer the last time
		began = time.Now()
		tries = patience{asked: began}
	)
	defer func() {
		if err != nil { // which is for the caller to tell; how often it was tried is not in it
			c.log.Info("not fetched", zap.Int("attempt", round), zap.Duration("duration", time.Since(began)))
			return
		}
		c.log.Info("fetching", zap.String("url", found.at().URL), zap.Int64("size", found.first.size),
			zap.Bool("ranges", found.first.more), zap.Int("attempt", round))
	}()
	for round = 1; ; round++ {
		var (
			best     *Error // of this round: the one that gives most hope
			troubles []*Error
		)
		for i, m := range mirrors {
			limit := time.Duration(0)
			if round == 1 && floor(mirrors, i, down, known) == minRate {
				limit = firstPatience
			}
			first, err := within(ctx, limit, m.open)
			if err == nil {
				return choice{m, first, floor(mirrors, i, down, known)}, nil
			}
			if ctx.Err() != nil {
				return choice{}, m.at().unanswered(ctx, errors.Join(last, err)) // last, if there was one
			}
			down[i] = true
			trouble := m.at().wrap(err)
			trouble.Attempt = round
			troubles = append(troubles, trouble)
			best, last = hopeful(best, trouble), trouble
		}
		over := tries.over(best)
		c.report(round, troubles, over)
		if over {
			return choice{}, best
		}
		if err := tries.sleep(ctx, best); err != nil {
			return choice{}, err
		}
	}
}

var errNoAnswer = errors.New("no answer within " + firstPatience.String())

// within calls open, and gives it up with errNoAnswer if limit (0: none) passes before
// there is an answer.
func within(ctx context.Context, limit time.Duration, open func(context.Context) (*answer, error)) (*answer, error) {
	if limit == 0 {
		return open(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(errNoAnswer) })
	first, err := open(ctx)
	late := !timer.Stop()
	if err == nil && !late {
		first.body = released{first.body, cancel}
		return first, nil
	}
	if err == nil {
		_ = first.body.Close()
	}
	if late && errors.Is(context.Cause(ctx), errNoAnswer) {
		err = errNoAnswer
	}
	cancel(nil)
	return nil, err
}

// released is a body whose Close releases its request's context.
type released struct {
	io.ReadCloser

	cancel context.CancelCauseFunc
}

func (r released) Close() error {
	err := r.ReadCloser.Close()
	r.cancel(nil)
	return err
}

// hopeful returns which of two troubles is more likely to pass. b is set.
func hopeful(a, b *Error) *Error {
	switch {
	case a == nil || (a.hopeless() && !b.hopeless()) || (a.final() && !b.final()):
		return b
	case a.final() == b.final() && b.retryAfter < a.retryAfter:
		return b
	default:
		return a
	}
}

// report logs the troubles of a round: of the first, of ever fewer then, and of
// the last.
func (c *Client) report(round int, troubles []*Error, last bool) {
	level, message := zap.DebugLevel, "mirror does not serve, going on"
	if last || round&(round-1) == 0 {
		level = zap.WarnLevel
	}
	if last {
		message = "mirror does not serve"
	}
	for _, trouble := range troubles {
		message := message
		if trouble.unidentified() {
			message = "mirror not asked, there is nothing to sign with"
		}
		c.log.Log(level, message, zap.Int("attempt", round), zap.Error(trouble))
	}
}
