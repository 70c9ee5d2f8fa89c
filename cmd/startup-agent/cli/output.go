package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/signal"
	"syscall"

	"startup-bundle/agent"
	"startup-bundle/internal/files"
)

var errInterrupted = errors.New("interrupted: nothing was written")

// writeFile writes a file that a person named: whole, or not at all. A signal or an
// error leaves what was there before, and nothing beside it.
func (p *program) writeFile(ctx context.Context, path string, perm fs.FileMode, write func(io.Writer) error) error {
	return p.produce(ctx, path, perm, (*files.File).Commit, func(_ context.Context, w io.Writer) error { return write(w) })
}

// produce is writeFile for what takes long. commit gives the file its name.
func (p *program) produce(ctx context.Context, path string, perm fs.FileMode, commit func(*files.File) error, write func(context.Context, io.Writer) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	f, err := files.Create(path, perm)
	if err != nil {
		return p.failed(agent.CodeOther, fmt.Errorf("write %s: %w", path, err))
	}
	defer f.Abandon()
	out := bufio.NewWriter(f)
	err = errors.Join(write(ctx, out), out.Flush())
	if ctx.Err() != nil {
		return p.failed(agent.CodeInterrupted, errInterrupted)
	}
	if err == nil {
		err = commit(f)
	}
	if err != nil {
		return p.failed(agent.CodeOther, fmt.Errorf("write %s: %w", path, err))
	}
	return nil
}
