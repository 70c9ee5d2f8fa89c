package fetch

import (
	"context"
	"errors"
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
		m, err := c.mirror(p, r.SHA256 != "")
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

// mirror returns what p names. Where the digest is pinned, ranges of a file that
// carries no mark of its own may be joined: the digest finds out.
func (c *Client) mirror(p place, pinned bool) (mirror, error) {
	switch scheme(p.raw) {
	case "http", "https":
		u, err := url.Parse(p.raw)
		if err != nil || u.Host == "" {
			return nil, errors.New("it has no host, or is not a URL at all")
		}
		return newRemote(c, p, u, transport.Watch(c.transport), pinned), nil
	case "s3":
		if c.aws == nil {
			return nil, errors.New("nobody signs requests here")
		}
		object, err := c.aws.Object(p.raw)
		if err != nil {
			return nil, err
		}
		// The object knows its address; this one only looks like it.
		r := newRemote(c, p, &url.URL{Scheme: "https", Host: "s3.invalid", Path: "/"}, object, pinned)
		r.client.HTTPClient.CheckRedirect = transport.NoRedirect
		r.object = object
		return r, nil
	case "file":
		_, path, ok := strings.Cut(p.raw, "://")
		if ok && filepath.IsAbs(path) {
			return &local{place: p, path: filepath.Clean(path)}, nil
		}
		return nil, errors.New("a file URL names an absolute path: file:///path")
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

// choose tries the mirrors in turn, round after round, and returns the first that
// answers, with its answer.
func (c *Client) choose(ctx context.Context, mirrors []mirror) (found mirror, first *answer, err error) {
	var (
		tries patience
		last  error
		round int
		began = time.Now()
	)
	defer func() {
		if err != nil { // which is for the caller to tell; how often it was tried is not in it
			c.log.Info("not fetched", zap.Int("attempt", round), zap.Duration("duration", time.Since(began)))
			return
		}
		c.log.Info("fetching", zap.String("url", found.at().URL), zap.Int64("size", first.size), zap.Bool("ranges", first.more), zap.Int("attempt", round))
	}()
	for round = 1; ; round++ {
		var (
			best     *Error // of this round: the one that gives most hope
			troubles []*Error
		)
		for _, m := range mirrors {
			first, err := m.open(ctx)
			if err == nil {
				return m, first, nil
			}
			if ctx.Err() != nil {
				return nil, nil, m.at().ended(ctx, errors.Join(last, err)) // last, where there was one
			}
			trouble := m.at().wrap(err)
			trouble.Attempt = round
			troubles = append(troubles, trouble)
			best, last = hopeful(best, trouble), trouble
		}
		over := tries.over(best)
		c.report(round, troubles, over)
		if over {
			return nil, nil, best
		}
		if err := tries.sleep(ctx, best); err != nil {
			return nil, nil, err
		}
	}
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
		c.log.Log(level, message, zap.Int("attempt", round), zap.Error(trouble))
	}
}
