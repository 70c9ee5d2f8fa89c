package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// MaxEmpty is how many bytes a decompressor may take in beyond those it gives, with
// one in sixteen for the overhead of data that does not compress. Frames, members and
// blocks that hold nothing cost time, and no limit on what comes out ever sees them.
const MaxEmpty = 1 << 20

// decompressor is what one layer of compression takes in from below, by Read, and
// gives out, by outOf. It works on one goroutine.
type decompressor struct {
	below io.Reader
	how   Compression
	r     io.Reader // the library's; reads from a buffer above this
	taken int64
	given int64
}

// Read gives the library what it takes in.
func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.below.Read(p)
	if d.taken += int64(n); d.taken-d.given > MaxEmpty+d.taken/16 {
		return 0, unsafe("its %s data holds more than %d KiB that unpack to nothing: compress it again, without empty parts",
			d.how, MaxEmpty>>10)
	}
	return n, err
}

// outOf gives a decompressor's own errors ErrDamaged, and leaves the errors of the
// layers below as they are.
type outOf struct{ *decompressor }

func (o outOf) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.given += int64(n)
	if err != nil && !isEnd(err) {
		err = decompressError(o.how, err)
	}
	return n, err
}

// decompress returns the reader of a compression, and what ends it.
func decompress(how Compression, in *bufio.Reader) (io.Reader, func(), error) {
	switch how {
	case Zstd:
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxWindow),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	case Gzip:
		d, err := gzip.NewReader(in)
		return d, func() {}, err
	default:
		d, err := newXzReader(in)
		return d, func() {}, err
	}
}

func decompressError(how Compression, err error) error {
	switch {
	case isBelow(err), errors.Is(err, ErrUnsafe):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return unsafe("its zstd window is larger than %d MiB: compress without --long or --ultra", MaxWindow>>20)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: its %s data is truncated", ErrDamaged, how)
	}
	return fmt.Errorf("%w: its %s data: %w", ErrDamaged, how, err)
}
