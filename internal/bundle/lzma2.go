package bundle

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The control byte that begins an LZMA2 chunk. The format has no specification but
// XZ for Java and xz-embedded: https://en.wikipedia.org/wiki/LZMA#LZMA2_format
const (
	lzma2End        = 0x00
	lzma2RawReset   = 0x01 // not compressed, and the dictionary is emptied
	lzma2Raw        = 0x02 // not compressed
	lzma2Compressed = 0x80 // and above
	lzma2Properties = 0xc0 // and above: a byte of properties follows the sizes
	lzma2Reset      = 0xe0 // and above: the dictionary is emptied

	lzma2MaxChunk = 6 + 1<<16
)

// lzma2Reader reads one LZMA2 stream after the other with one dictionary, made when
// the first chunk comes and again only for a larger one. The library makes a reader
// and a dictionary for each stream; it is shown them all as one that never ends. That
// works because each begins by emptying the dictionary.
type lzma2Reader struct {
	r        io.Reader
	library  *lzma.Reader2 // reads from chunkReader
	capacity int           // of library's dictionary
	wanted   int           // of this stream's

	fresh bool   // no chunk of this stream has come yet
	space []byte // for a chunk
	chunk []byte // what library has not read of it, header included
	left  int    // what it unpacks to and is not yet given, in bytes
}

// begin starts the next stream. It needs a dictionary of capacity bytes.
func (l *lzma2Reader) begin(capacity int) { l.wanted, l.fresh = capacity, true }

// Read returns io.EOF at the end of the stream.
func (l *lzma2Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.left == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	n, err := l.library.Read(p[:min(len(p), l.left)])
	if l.left -= n; l.left > 0 && isEnd(err) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the next chunk.
func (l *lzma2Reader) next() error {
	if len(l.chunk) > 0 {
		return errors.New("bytes follow the end of a chunk")
	}
	if l.space == nil {
		l.space = make([]byte, lzma2MaxChunk)
	}
	head := l.space[:1]
	if _, err := io.ReadFull(l.r, head); err != nil {
		return err
	}
	control := head[0]
	switch {
	case control == lzma2End:
		return io.EOF
	case control < lzma2Compressed && control > lzma2Raw:
		return errors.New("broken chunk header")
	case l.fresh && control != lzma2RawReset && control < lzma2Reset:
		return errors.New("a block does not begin with an empty dictionary")
	case control >= lzma2Properties:
		head = l.space[:6]
	case control >= lzma2Compressed:
		head = l.space[:5]
	default:
		head = l.space[:3]
	}
	if _, err := io.ReadFull(l.r, head[1:]); err != nil {
		return err
	}
	l.left = int(binary.BigEndian.Uint16(head[1:])) + 1
	packed := l.left
	if control >= lzma2Compressed {
		l.left += int(control&0x1f) << 16
		packed = int(binary.BigEndian.Uint16(head[3:])) + 1
	}
	l.chunk = l.space[:len(head)+packed]
	if _, err := io.ReadFull(l.r, l.chunk[len(head):]); err != nil {
		return err
	}
	l.fresh = false
	if l.library != nil && l.wanted <= l.capacity {
		return nil
	}
	var err error
	l.capacity = l.wanted
	l.library, err = lzma.Reader2Config{DictCap: l.capacity}.NewReader2((*chunkReader)(l))
	return err
}

// chunkReader gives the library the bytes of the one chunk, and never an end: a chunk
// says how much it unpacks to.
type chunkReader lzma2Reader

func (c *chunkReader) Read(p []byte) (int, error) {
	n := copy(p, c.chunk)
	if c.chunk = c.chunk[n:]; n == 0 && len(p) > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}

func (c *chunkReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := c.Read(b[:])
	return b[0], err
}
