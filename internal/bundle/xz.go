package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// MaxDictionary is the largest xz dictionary Open accepts, in bytes: what
// "xz -9" asks for. A header may ask for 4 GiB.
const MaxDictionary = 64 << 20

const (
	xzMagic       = "\xfd7zXZ\x00"
	xzFooterMagic = "YZ"
	xzFilterLZMA2 = 0x21
)

// xzReader reads the .xz container (https://tukaani.org/xz/xz-file-format.txt)
// around LZMA2: streams, blocks, their checks and the index. The library has a
// reader of its own, but that makes a dictionary for each block, as large as its
// header says. Its memory is one dictionary's: of the blocks it keeps a digest.
type xzReader struct {
	r      *xzCounter
	flags  byte // of the stream: which check
	lzma   *lzma2Reader
	inside bool      // in a block
	check  hash.Hash // nil: none
	start  int64     // where the block began
	data   int64     // where its data began
	size   int64     // what it has given so far
	stated [2]int64  // its header's compressed and uncompressed size, or -1
	blocks uint64
	seen   hash.Hash // of each block's sizes, to compare the index with
}

func newXzReader(r *bufio.Reader) (*xzReader, error) {
	counted := &xzCounter{r: r}
	x := &xzReader{r: counted, lzma: &lzma2Reader{r: counted}}
	return x, x.streamHeader()
}

// xzCounter counts, and ends in io.ErrUnexpectedEOF: the format says where it ends.
type xzCounter struct {
	r *bufio.Reader
	n int64
}

func (c *xzCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if isEnd(err) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *xzCounter) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return b[0], err
}

func (x *xzReader) Read(p []byte) (int, error) {
	for {
		if !x.inside {
			if err := x.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := x.lzma.Read(p)
		x.size += int64(n)
		if x.check != nil {
			x.check.Write(p[:n])
		}
		if isEnd(err) {
			err = x.endBlock()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (x *xzReader) streamHeader() error {
	head, err := x.take(12)
	if err != nil {
		return err
	}
	if string(head[:6]) != xzMagic || head[6] != 0 || !crcFits(head[6:8], head[8:]) {
		return errors.New("broken stream header")
	}
	x.flags, x.blocks, x.seen = head[7], 0, sha256.New()
	switch x.flags {
	case 0, 1, 4, 10:
		return nil
	}
	return fmt.Errorf("unknown check %d", x.flags)
}

// next goes on to the next block, through the end of a stream if need be.
func (x *xzReader) next() error {
	x.start = x.r.n
	size, err := x.r.ReadByte()
	if err != nil {
		return err
	}
	if size != 0 {
		return x.blockHeader(size)
	}
	if err := x.index(); err != nil {
		return err
	}
	return x.nextStream()
}

// nextStream skips padding, in fours, and starts the next stream if there is one.
func (x *xzReader) nextStream() error {
	for {
		head, err := x.r.r.Peek(4)
		switch {
		case len(head) == 0 && isEnd(err):
			return io.EOF
		case isEnd(err):
			return errors.New("bytes follow its end")
		case err != nil:
			return err
		case !bytes.Equal(head, make([]byte, 4)):
			return x.streamHeader()
		}
		if _, err := x.take(4); err != nil {
			return err
		}
	}
}

func (x *xzReader) blockHeader(size byte) error {
	rest, err := x.take(4*int(size) + 3)
	if err != nil {
		return err
	}
	head := append([]byte{size}, rest...)
	body := head[:len(head)-4]
	if !crcFits(body, head[len(head)-4:]) {
		return errors.New("broken block header")
	}
	flags, fields := body[1], bytes.NewReader(body[2:])
	if flags&0x3f != 0 {
		return errors.New("filters other than LZMA2")
	}
	x.stated = [2]int64{-1, -1}
	for i, present := range []byte{0x40, 0x80} {
		if flags&present == 0 {
			continue
		}
		n, err := binary.ReadUvarint(fields)
		if err != nil || n > 1<<62 {
			return errors.New("broken block header")
		}
		x.stated[i] = int64(n)
	}
	var filter [3]byte // id, size of its properties, dictionary size
	if _, err := io.ReadFull(fields, filter[:]); err != nil || filter[0] != xzFilterLZMA2 || filter[1] != 1 || filter[2] > 40 {
		return errors.New("filters other than LZMA2")
	}
	return x.startBlock(filter[2])
}

func (x *xzReader) startBlock(dictionary byte) error {
	capacity := int64(2|dictionary&1) << (dictionary/2 + 11)
	if capacity > MaxDictionary {
		return unsafe("its xz dictionary is larger than %d MiB: compress with xz -9 at most", MaxDictionary>>20)
	}
	x.data, x.size, x.check = x.r.n, 0, nil
	switch x.flags {
	case 1:
		x.check = crc32.NewIEEE()
	case 4:
		x.check = crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		x.check = sha256.New()
	}
	x.inside = true
	x.lzma.begin(int(capacity))
	return nil
}

func (x *xzReader) endBlock() error {
	compressed := x.r.n - x.data
	for i, got := range []int64{compressed, x.size} {
		if x.stated[i] >= 0 && x.stated[i] != got {
			return errors.New("a block's size is wrong")
		}
	}
	padding, err := x.take(int(-compressed & 3))
	if err != nil {
		return err
	}
	if !bytes.Equal(padding, make([]byte, len(padding))) {
		return errors.New("a block's padding is not zero")
	}
	unpadded := x.r.n - x.start - int64(len(padding))
	if x.check != nil {
		stated, err := x.take(x.check.Size())
		if err != nil {
			return err
		}
		got := x.check.Sum(nil)
		if x.flags != 10 { // the CRCs are stored little-endian
			for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
				got[i], got[j] = got[j], got[i]
			}
		}
		if !bytes.Equal(stated, got) {
			return errors.New("a block's checksum is wrong")
		}
		unpadded += int64(len(stated))
	}
	x.inside = false
	x.blocks++
	note(x.seen, uint64(unpadded), uint64(x.size))
	return nil
}

// index reads the index, whose first byte is read already, and the footer.
func (x *xzReader) index() error {
	crc := crc32.NewIEEE()
	crc.Write([]byte{0})
	in := &xzSummed{x.r, crc}
	count, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	if count != x.blocks {
		return errors.New("its index is wrong")
	}
	listed := sha256.New()
	for range count {
		unpadded, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		note(listed, unpadded, size)
	}
	for (x.r.n-x.start)%4 != 0 {
		if b, err := in.ReadByte(); err != nil || b != 0 {
			return errors.Join(errors.New("its index is wrong"), err)
		}
	}
	length := x.r.n - x.start + 4
	stated, err := x.take(4)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(stated) != crc.Sum32() || !bytes.Equal(listed.Sum(nil), x.seen.Sum(nil)) {
		return errors.New("its index is wrong")
	}
	return x.footer(length)
}

func (x *xzReader) footer(indexLength int64) error {
	foot, err := x.take(12)
	if err != nil {
		return err
	}
	backward := (int64(binary.LittleEndian.Uint32(foot[4:8])) + 1) * 4
	if !crcFits(foot[4:10], foot[:4]) || backward != indexLength || foot[8] != 0 || foot[9] != x.flags || string(foot[10:]) != xzFooterMagic {
		return errors.New("broken stream footer")
	}
	return nil
}

func (x *xzReader) take(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(x.r, b)
	return b, err
}

func note(h hash.Hash, unpadded, size uint64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], unpadded)
	binary.LittleEndian.PutUint64(b[8:], size)
	h.Write(b[:])
}

func crcFits(data, crc []byte) bool {
	return crc32.ChecksumIEEE(data) == binary.LittleEndian.Uint32(crc)
}

// xzSummed reads bytes into a checksum.
type xzSummed struct {
	r   io.ByteReader
	sum hash.Hash
}

func (s *xzSummed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		s.sum.Write([]byte{b})
	}
	return b, err
}
