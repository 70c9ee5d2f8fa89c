package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/journal"
	"startup-bundle/agent/key"
	"startup-bundle/agent/record"
	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
)

// bundle fetches, verifies, decrypts and unpacks the bundle, in one pipeline.
// Afterwards have is set; or nothing of the bundle is on the disk.
func (a *Agent) bundle(ctx context.Context, found secret.String) error {
	return a.phase(PhaseBundle, func(log *zap.Logger) error {
		defer boundMemory()()
		var before error
		for request := (fetch.Request{URLs: a.doc.URLs, SHA256: a.doc.SHA256}); ; {
			err := a.fetchAndUnpack(ctx, log, request, found)
			next, ok := request.Next(err)
			if err != nil && ctx.Err() != nil && before != nil {
				err = fmt.Errorf("%w; before that: %w", err, before)
			}
			if doubt := key.Doubt(found); doubt != "" && errors.Is(err, bundle.ErrKey) {
				err = fmt.Errorf("%w; %s", err, doubt)
			}
			if err == nil || !ok || ctx.Err() != nil {
				return a.cutShort(ctx, err)
			}
			log.Warn("starting the bundle over", zap.Error(err))
			request, before = next, err
		}
	})
}

// cutShort says of an error that the run's timeout caused what to do about it.
func (a *Agent) cutShort(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), errDeadline) {
		return err
	}
	if errors.Is(err, errDeadline) {
		return fail(CodeDeadline, "%w: see what the network did with startup-agent logs, or raise timeout: in the userdata", err)
	}
	return fail(CodeDeadline, "%w while the bundle was fetched and unpacked (%w): see what the network did with startup-agent logs, or raise timeout: in the userdata", errDeadline, err)
}

// A file that turns out to be wrong is read to its end within these limits, to learn
// whether it is the one that the userdata pins.
const (
	maxJudged  = 64 << 20 // bytes
	judgedTime = 30 * time.Second
)

// suspect returns err, which stream's bytes caused, as the mirror's fault if another
// mirror, or another try, may bring better ones. It is not if the file is the one that
// the userdata pins, or the key is wrong: that would be wrong for all.
func (a *Agent) suspect(ctx context.Context, stream *fetch.Stream, err error) error {
	var (
		broken *fetch.Error
		judged *failure // by us, for what a whole bundle says
	)
	ctx, cancel := context.WithTimeout(ctx, judgedTime)
	defer cancel()
	damaged := (errors.Is(err, bundle.ErrFormat) || errors.Is(err, bundle.ErrDamaged)) && !errors.As(err, &judged)
	switch aside, pinned := stream.Aside(), a.doc.SHA256 != ""; {
	case errors.Is(err, bundle.ErrSpace), errors.As(err, &broken):
		return err
	case pinned && stream.Discard(ctx, maxJudged) == io.EOF: //nolint:errorlint // as of Read
		return err
	case aside != "":
		return stream.Wrong(fmt.Errorf("%w; %s", err, aside), true)
	case pinned:
		return stream.Wrong(err, true)
	case errors.Is(err, bundle.ErrKey):
		return err
	default:
		return stream.Wrong(err, damaged)
	}
}

func (a *Agent) fetchAndUnpack(ctx context.Context, log *zap.Logger, request fetch.Request, found secret.String) error {
	began := time.Now()
	stream, err := a.Fetch.Open(ctx, request)
	if err != nil {
		return err
	}
	defer stream.Close()
	url := secret.URL(stream.URL())
	reader, err := bundle.Open(ctx, stream, bundle.Key{Secret: found, Iterations: a.doc.OpenSSLIterations})
	if err != nil {
		return fail(codeOf(ctx, err), "open the bundle from %s: %w", url, a.suspect(ctx, stream, err))
	}
	defer reader.Close()
	by, err := vouch(a.doc, stream.Scheme(), reader.Kind(), a.enforced)
	if err != nil {
		return err
	}
	contents, err := bundle.Unpack(ctx, reader, a.Paths.Bundle(), a.Limits, func(c *bundle.Contents) error {
		id, err := a.signed(ctx, c, nil)
		if id != "" {
			by += ":" + id
		}
		return err
	})
	if err != nil {
		return fail(codeOf(ctx, err), "open the bundle from %s: %w", url, a.suspect(ctx, stream, err))
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
		} else if size, err := journal.Size(a.Paths.ModuleLog(m.Name)); err == nil {
			rec.LogFrom = &size // what is there was printed by another bundle's module, which had other secrets
		}
		a.run.Modules = append(a.run.Modules, rec)
	}
	return nil
}
