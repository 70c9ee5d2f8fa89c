package agent

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
)

// bundle fetches, verifies, decrypts and unpacks the bundle, in one pipeline.
// Afterwards have is set; or nothing of the bundle is on the disk.
func (a *Agent) bundle(ctx context.Context, key secret.String) error {
	return a.phase(PhaseBundle, func(log *zap.Logger) error {
		defer boundMemory()()
		for request := (fetch.Request{URLs: a.doc.URLs, SHA256: a.doc.SHA256}); ; {
			err := a.fetchAndUnpack(ctx, log, request, key)
			next, ok := request.Next(err)
			if !ok {
				next, ok = withoutMirror(request, err)
			}
			if err == nil || !ok || ctx.Err() != nil {
				return a.cutShort(ctx, err)
			}
			log.Warn("starting the bundle over", zap.Error(err))
			request = next
		}
	})
}

// cutShort says of an error that the run's timeout caused what to do about it.
func (a *Agent) cutShort(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), errDeadline) {
		return err
	}
	return fail(CodeDeadline, "%w while the bundle was fetched and unpacked (%w): see what the network did with startup-agent logs, or raise timeout: in the userdata", errDeadline, err)
}

// mirrorError is a bundle that one mirror served and that is none, or not ours.
type mirrorError struct {
	url string // as the request names it
	err error
}

func (e *mirrorError) Error() string { return e.err.Error() }
func (e *mirrorError) Unwrap() error { return e.err }

// withoutMirror returns the request without the mirror that served what err tells
// of, where that may be the mirror's fault and others are left. A wrong key is
// not: it is wrong for all.
func withoutMirror(r fetch.Request, err error) (fetch.Request, bool) {
	var bad *mirrorError
	if !errors.As(err, &bad) || errors.Is(err, bundle.ErrKey) || errors.Is(err, bundle.ErrSpace) {
		return r, false
	}
	r.URLs = slices.DeleteFunc(slices.Clone(r.URLs), func(u string) bool { return u == bad.url })
	return r, len(r.URLs) > 0
}

func (a *Agent) fetchAndUnpack(ctx context.Context, log *zap.Logger, request fetch.Request, key secret.String) error {
	began := time.Now()
	stream, err := a.Fetch.Open(ctx, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	url := secret.URL(stream.URL())
	reader, err := bundle.Open(stream, bundle.Key{Secret: key, Iterations: a.doc.OpenSSLIterations})
	if err != nil {
		return fail(codeOf(ctx, err), "open the bundle from %s: %w", url, &mirrorError{stream.URL(), err})
	}
	defer reader.Close()
	by, err := vouch(a.doc, stream.Scheme(), reader.Kind(), a.enforced)
	if err != nil {
		return err
	}
	contents, err := bundle.Unpack(ctx, reader, a.Paths.Bundle(), a.Limits, func(c *bundle.Contents) error {
		id, err := a.signed(c, nil)
		if id != "" {
			by += ":" + id
		}
		return err
	})
	if err != nil {
		return fail(codeOf(ctx, err), "open the bundle from %s: %w", url, &mirrorError{stream.URL(), err})
	}
	a.have = contents
	got := &record.Bundle{Name: contents.Manifest.Name, SHA256: stream.SHA256(), Bytes: stream.Bytes(), URL: url, VouchedBy: by}
	log.Info("bundle unpacked", zap.String("bundle", contents.Manifest.Name), zap.Int64("bytes", stream.Bytes()),
		zap.String("sha256", stream.SHA256()), zap.String("vouched_by", by), zap.String("encryption", string(reader.Kind().Encryption)),
		zap.Int("modules", len(contents.Manifest.Modules)), zap.String("url", url), zap.Duration("duration", time.Since(began)))
	for _, folder := range contents.Ignored {
		log.Warn("folder without a start script ignored", zap.String("folder", folder))
	}
	if err := a.plan(log, got); err != nil {
		return err
	}
	return a.persist()
}

// persist writes the bundle out to the disk. The modules need not wait for that:
// until it is done a power cut can leave empty files, which the next start
// notices by their digests. A bundle made by hand has none, so it is waited for.
// The record tells of the bundle with the first module's start: a run that is cut
// off before that fetches it again.
func (a *Agent) persist() error {
	a.run.Bundle.Whole = true
	a.sync = make(chan error, 1)
	go func(c *bundle.Contents) { a.sync <- c.Sync() }(a.have)
	if a.have.ByHand {
		return a.synced()
	}
	return nil
}

// synced waits until the bundle, if there is a new one, is on disk.
func (a *Agent) synced() error {
	if a.sync == nil {
		return nil
	}
	err := <-a.sync
	a.sync = nil
	if err != nil {
		return &failure{CodeRecord, err}
	}
	a.run.Bundle.Durable = true
	return nil
}

// plan lists the bundle's modules in the record. What an earlier start did stays
// done where it is the same bundle, fetched again; else none has started.
func (a *Agent) plan(log *zap.Logger, got *record.Bundle) error {
	if err := os.MkdirAll(a.Paths.ModuleLogs(), 0o750); err != nil {
		return fail(CodeRecord, "make log folder: %w", err)
	}
	before := *a.run
	same := before.Bundle != nil && before.Bundle.SHA256 == got.SHA256
	if before.Bundle != nil && !same {
		log.Warn("another bundle is there now: all its modules run", zap.String("sha256", got.SHA256), zap.String("before", before.Bundle.SHA256))
	}
	got.ByHand = a.have.ByHand
	a.run.Bundle = got
	a.run.OnFailure = cmp.Or(string(a.doc.OnFailure), a.have.Manifest.OnFailure, module.OnFailureStop)
	a.run.Modules = make([]record.Module, 0, len(a.have.Manifest.Modules))
	for _, m := range a.have.Manifest.Modules {
		rec := record.Module{Name: m.Name, Run: m.Run, State: record.Pending}
		if done := before.Module(m.Name); same && done != nil {
			rec = *done
		}
		a.run.Modules = append(a.run.Modules, rec)
	}
	return nil
}
