package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"startup-bundle/agent/transport"
)

// local is a file of this machine.
type local struct {
	place

	path string
}

func (l *local) at() place { return l.place }

// open does not wait for a FIFO's writer: it opens first and looks then.
func (l *local) open(context.Context) (*answer, error) {
	file, err := os.OpenFile(l.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = l.fail(Unsupported, fmt.Errorf("it is not a regular file but %s", info.Mode().Type()))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &answer{body: file, size: info.Size()}, nil
}

func (l *local) pump(ctx context.Context, first *answer, f *feed) error {
	defer first.body.Close()
	err := f.drain(ctx, first.body, first.size, buffers(plainBuffers))
	switch {
	case err == nil && f.count.Load() > first.size, errors.Is(err, io.ErrUnexpectedEOF):
		return l.fail(Changed, fmt.Errorf("it held %d bytes, now %d came", first.size, f.count.Load()))
	case ctx.Err() != nil:
		return l.ended(ctx, nil)
	case err != nil:
		return l.wrap(transport.Bare(err))
	}
	return nil
}
