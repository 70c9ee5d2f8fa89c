package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"startup-bundle/internal/bundle"
)

// asked is a context that ends when it is asked for the nth time whether it has.
type asked struct {
	context.Context
	n     int64
	times atomic.Int64
	end   func()
}

func (a *asked) Err() error {
	if a.times.Add(1) == a.n {
		a.end()
	}
	return a.Context.Err()
}

// Everything that goes through a tree asks its context at each entry, and ends there.
func TestEveryLoopOverATreeEndsWithItsContext(t *testing.T) {
	const entries = 10 // of each kind
	list := good()
	for i := range entries {
		list = append(list,
			file(fmt.Sprintf("%sm/d%d/file", top, i), "x"),
			symlink(fmt.Sprintf("%sm/l%d", top, i), fmt.Sprintf("d%d/../start", i)),
			hardlink(fmt.Sprintf("%sm/h%d", top, i), top+"m/start"))
	}
	raw := seal(t, tarOf(t, list...))
	byHand := good()[2:]
	for i := range entries {
		byHand = append(byHand, program(fmt.Sprintf("%sn%d/start", top, i), "#!/bin/sh\n"))
	}
	rawByHand := seal(t, tarOf(t, byHand...))
	unpack := func(t *testing.T, raw []byte) *bundle.Contents {
		t.Helper()
		c, err := newRoom(t).unpack(bytes.NewReader(raw), identityKey(), bundle.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	module := func(c *bundle.Contents) string { return c.ModuleDir(c.Manifest.Modules[0]) }
	for _, tt := range []struct {
		name  string
		least int64 // how often the context is asked, at least
		run   func(context.Context, *testing.T, *bundle.Contents) error
	}{
		{"scan", 4 * entries, func(ctx context.Context, _ *testing.T, c *bundle.Contents) error {
			_, err := bundle.Scan(ctx, module(c))
			return err
		}},
		{"verify", 4 * entries, func(ctx context.Context, _ *testing.T, c *bundle.Contents) error {
			return c.Verify(ctx, nil)
		}},
		{"covered", 4 * entries, func(ctx context.Context, _ *testing.T, c *bundle.Contents) error {
			return c.Covered(ctx, nil)
		}},
		{"load", entries, func(ctx context.Context, t *testing.T, _ *bundle.Contents) error {
			_, err := bundle.Load(ctx, unpack(t, rawByHand).Dir)
			return err
		}},
		{"remove", 4 * entries, func(ctx context.Context, t *testing.T, c *bundle.Contents) error {
			err := bundle.Remove(ctx, c.Dir)
			if half, loadErr := bundle.Load(t.Context(), c.Dir); loadErr == nil {
				half.Manifest.Modules[0].Digest = c.Manifest.Modules[0].Digest
				if verifyErr := half.Verify(t.Context(), nil); verifyErr != nil {
					t.Errorf("what is left has the bundle's name: %v", verifyErr)
				}
			}
			return err
		}},
		{"unpack", 5 * entries, func(ctx context.Context, t *testing.T, _ *bundle.Contents) error {
			in, err := bundle.Open(t.Context(), bytes.NewReader(raw), identityKey())
			if err != nil {
				return err
			}
			defer in.Close()
			dest := filepath.Join(t.TempDir(), "bundle")
			_, err = bundle.Unpack(ctx, in, dest, bundle.Limits{})
			if err != nil {
				left(t, dest, "half unpacked")
				left(t, dest+bundle.StageSuffix, "half unpacked")
			}
			return err
		}},
		{"unpack a module", 8 * entries, func(ctx context.Context, t *testing.T, _ *bundle.Contents) error {
			dest := filepath.Join(t.TempDir(), "module")
			err := bundle.UnpackModule(ctx, bytes.NewReader(tarOf(t, moduleOf(list)...)), dest, bundle.Limits{})
			if err != nil {
				left(t, dest, "half unpacked")
				left(t, dest+".around"+bundle.StageSuffix, "half unpacked")
			}
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := &asked{Context: t.Context()}
			c := unpack(t, raw)
			c.Manifest.Modules[0].Digest = digestOf(t, module(c))
			if err := tt.run(whole, t, c); err != nil {
				t.Fatal(err)
			}
			if whole.times.Load() < tt.least {
				t.Errorf("the context was asked %d times, want %d at least", whole.times.Load(), tt.least)
			}
			for _, e := range endings {
				for n := int64(1); n <= whole.times.Load(); n += 1 + whole.times.Load()/10 {
					c := unpack(t, raw)
					c.Manifest.Modules[0].Digest = digestOf(t, module(c))
					synctest.Test(t, func(t *testing.T) {
						inner, end, cancel := e.start(t.Context())
						defer cancel()
						ctx := &asked{Context: inner, n: n, end: end}
						if err := tt.run(ctx, t, c); !errors.Is(err, e.cause) {
							t.Errorf("%s at question %d: error %v, want %v", e.name, n, err, e.cause)
						}
						// The last few say why it ended, and that nothing more is to be done.
						if ctx.times.Load() > n+8 {
							t.Errorf("%s at question %d: it went on for %d more", e.name, n, ctx.times.Load()-n)
						}
					})
				}
			}
		})
	}
}

// moduleOf returns the entries of the module m, as an archive of it alone.
func moduleOf(list []entry) []entry {
	var own []entry
	for _, e := range list {
		if len(e.Name) > len(top+"m/") && e.Name[:len(top)+2] == top+"m/" {
			e.Name = e.Name[len(top):]
			if e.Linkname == top+"m/start" {
				e.Linkname = "m/start"
			}
			own = append(own, e)
		}
	}
	return own
}

func digestOf(t *testing.T, dir string) string {
	t.Helper()
	tree, err := bundle.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree.Digest()
}

func left(t *testing.T, path, why string) {
	t.Helper()
	if _, err := os.Lstat(path); err == nil {
		t.Errorf("%s is there: %s", path, why)
	}
}
