package bundle

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
)

const tarBlock = 512

// entries reads a tar entry by entry. The plain headers that a packer writes for
// files and folders it reads itself, which costs a fraction of what archive/tar
// takes for one; from the first header of any other form on, archive/tar reads all
// that is left. Both take the same bytes for the same entries.
type entries struct {
	in      *bounded
	block   [tarBlock]byte
	header  tar.Header
	content content     // of the last entry
	padding int64       // behind it, in bytes
	rest    *tar.Reader // set once archive/tar has taken over
	zeros   int         // how many end what it has read
}

func newEntries(in *bounded) *entries {
	return &entries{in: in, content: content{in: in}}
}

// content reads what is left of an entry, all of it or an error.
type content struct {
	in   *bounded
	left int64
}

func (c *content) Read(p []byte) (int, error) {
	data, err := c.next(len(p))
	return copy(p, data), err
}

// WriteTo is for io.Copy, which then needs no buffer.
func (c *content) WriteTo(w io.Writer) (written int64, err error) {
	for c.left > 0 {
		data, err := c.next(int(c.left))
		n, writeErr := w.Write(data)
		if written += int64(n); writeErr != nil {
			return written, writeErr
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (c *content) next(most int) ([]byte, error) {
	if c.left == 0 {
		return nil, io.EOF
	}
	data, err := c.in.next(int(min(int64(most), c.left)))
	c.left -= int64(len(data))
	if isEnd(err) && c.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return data, err
}

// next returns the next entry and its content, both until the next call. At the end
// the error is io.EOF, and cut says whether the zero blocks that mark it are missing.
func (e *entries) next() (h *tar.Header, content io.Reader, cut bool, err error) {
	end := (e.in.n + tarBlock - 1) / tarBlock * tarBlock // of the last entry, padding included
	if e.rest == nil {
		switch plain, err := e.plain(); {
		case err != nil:
			return nil, nil, isEnd(err), err
		case plain:
			return &e.header, &e.content, false, nil
		}
		end = e.in.n - tarBlock
		e.rest = tar.NewReader(io.TeeReader(io.MultiReader(bytes.NewReader(e.block[:]), e.in), zeroCounter{&e.zeros}))
	}
	h, err = e.rest.Next()
	if err == nil && len(h.PAXRecords) > 0 {
		// They are parts of one string of up to 1 MiB, and names are kept for long.
		h.Name, h.Linkname = strings.Clone(h.Name), strings.Clone(h.Linkname)
	}
	// archive/tar takes for an end what may be a cut: behind an entry, or behind a
	// header that belongs to the next one.
	return h, e.rest, isEnd(err) && (e.in.n <= end || e.zeros < tarBlock), err
}

// zeroCounter counts the zeros that end what is written to it.
type zeroCounter struct{ n *int }

func (z zeroCounter) Write(p []byte) (int, error) {
	zeros := len(p) - len(bytes.TrimRight(p, "\x00"))
	if zeros == len(p) {
		zeros += *z.n
	}
	*z.n = zeros
	return len(p), nil
}

// plain reads the next header into block, and if it is a plain one, into header.
func (e *entries) plain() (bool, error) {
	if e.content.left += e.padding; e.content.left > 0 {
		if _, err := io.Copy(io.Discard, &e.content); err != nil {
			return false, err
		}
	}
	if _, err := io.ReadFull(e.in, e.block[:]); err != nil {
		return false, err
	}
	if !plainHeader(e.block[:], &e.header) {
		return false, nil
	}
	e.content.left, e.padding = e.header.Size, -e.header.Size&(tarBlock-1)
	return true, nil
}

// plainHeader reads a ustar header (POSIX.1-1988) of a file, or of a folder, into h,
// if it has the one form that needs no interpretation: every number is octal digits
// and a NUL, and nothing is there that only other formats have.
func plainHeader(b []byte, h *tar.Header) bool {
	const magic, trailer = "ustar\x0000", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	kind := b[156]
	if string(b[257:265]) != magic || string(b[500:]) != trailer || b[157] != 0 || (kind != tar.TypeReg && kind != tar.TypeDir) {
		return false
	}
	for _, field := range [][]byte{b[108:116], b[116:124], b[136:148], b[329:337], b[337:345]} {
		if _, ok := octal(field); !ok {
			return false
		}
	}
	mode, ok := octal(b[100:108])
	size, sized := octal(b[124:136])
	sum, summed := octal(b[148:155])
	if !ok || !sized || !summed || sum != tarSum(b) || (kind == tar.TypeDir && size != 0) {
		return false
	}
	name := text(b[:100])
	if prefix := text(b[345:500]); prefix != "" {
		name = prefix + "/" + name
	}
	*h = tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: size}
	return true
}

// octal reads digits that a NUL ends.
func octal(field []byte) (n int64, ok bool) {
	last := len(field) - 1
	for _, c := range field[:last] {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	return n, field[last] == 0
}

// text returns what stands before a field's first NUL.
func text(field []byte) string {
	if end := bytes.IndexByte(field, 0); end >= 0 {
		field = field[:end]
	}
	return string(field)
}

// tarSum returns the checksum of a tar header, which every tar since the first has:
// the sum of its 512 bytes, the checksum's own eight counted as spaces.
func tarSum(block []byte) int64 {
	const at, width = 148, 8
	sum := int64(width * ' ')
	for _, c := range block[:at] {
		sum += int64(c)
	}
	for _, c := range block[at+width : tarBlock] {
		sum += int64(c)
	}
	return sum
}
