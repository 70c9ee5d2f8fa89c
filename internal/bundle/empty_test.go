package bundle_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"startup-bundle/internal/bundle"

	"github.com/ulikunitz/xz"
)

// xzBlocks is an xz stream of n empty blocks, each of which asks for a dictionary of
// 64 MiB.
func xzBlocks(n int) []byte {
	block := []byte{2, 0, 0x21, 1, 28, 0, 0, 0}
	block = binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(block))
	block = append(block, 0, 0, 0, 0) // the end of LZMA2, and padding
	index := binary.AppendUvarint([]byte{0}, uint64(n))
	index = append(index, bytes.Repeat([]byte{13, 0}, n)...)
	index = append(index, make([]byte, -len(index)&3)...)
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	foot := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	foot = append(foot, 0, 0)
	out := append(xzStreamHeader(), bytes.Repeat(block, n)...)
	out = binary.LittleEndian.AppendUint32(append(out, index...), crc32.ChecksumIEEE(foot))
	return append(append(out, foot...), "YZ"...)
}

// zeros gives as many zeros as are asked for.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// repeated gives one piece again and again.
type repeated struct {
	piece []byte
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.piece[r.at:])
	r.at = (r.at + n) % len(r.piece)
	return n, nil
}

// Frames, members, blocks and streams that hold nothing are read up to a limit,
// whatever they cost, and with one dictionary.
func TestPartsThatHoldNothingHaveALimit(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00}
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x01, 0x00, 0x00} // of 8 MiB
	skippable := append([]byte{0x5f, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, "skip"...)
	for name, endless := range map[string]io.Reader{
		"zstd frames":             &repeated{piece: frame},
		"zstd frames of 8 MiB":    &repeated{piece: window},
		"zstd skippable frames":   &repeated{piece: skippable},
		"one large skippable":     io.MultiReader(bytes.NewReader([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0xf0}), zeros{}),
		"gzip members":            &repeated{piece: gzipped(t, nil)},
		"a gzip name":             io.MultiReader(bytes.NewReader([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0}), &repeated{piece: []byte("name")}),
		"xz streams":              &repeated{piece: xzEmpty()},
		"xz streams with a block": &repeated{piece: xzBlocks(1)},
		"xz blocks":               bytes.NewReader(xzBlocks(1_000_000)),
		"xz padding":              io.MultiReader(bytes.NewReader(xzEmpty()), zeros{}),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			before := allocated()
			raw := &source{head: strings.NewReader(""), more: endless, after: 1 << 60}
			_, err := r.unpack(raw, bundle.Key{}, bundle.Limits{})
			if !errors.Is(err, bundle.ErrUnsafe) && !errors.Is(err, bundle.ErrDamaged) {
				t.Errorf("error %v", err)
			}
			if n := raw.n.Load(); n > bundle.MaxEmpty+8<<20 {
				t.Errorf("%d bytes were read", n)
			}
			if used := allocated() - before; used > 200<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
			r.untouched()
		})
	}
}

func TestPartsThatHoldNothingAmongOthersAreRead(t *testing.T) {
	plain := tarOf(t, append(good(), file("noise", noise(3<<20)))...)
	skippable := func(text string) []byte {
		return append(binary.LittleEndian.AppendUint32([]byte{0x50, 0x2a, 0x4d, 0x18}, uint32(len(text))), text...)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	var pz, members, blocks []byte
	for i := 0; i < len(plain); i += 100_000 {
		part := plain[i:min(i+100_000, len(plain))]
		pz = join(pz, skippable("size"), zstded(t, part))
		members = join(members, gzipped(t, part), gzipped(t, nil))
		blocks = join(blocks, xzed(t, part, 1<<14), xzEmpty(), xzBlocks(3))
	}
	for name, raw := range map[string][]byte{
		"as pzstd writes it":         pz,
		"a skippable frame at first": join(skippable(""), zstded(t, plain)),
		"one at the end":             join(zstded(t, plain), skippable("seek table")),
		"one of 600 KiB":             join(skippable(noise(600<<10)), zstded(t, plain)),
		"gzip members":               members,
		"xz streams of many blocks":  blocks,
	} {
		for key, sealed := range map[*bundle.Key][]byte{{}: raw, ptr(identityKey()): encrypt(t, raw), ptr(passKey()): sealOpenSSL(t, raw)} {
			r := newRoom(t)
			if _, err := r.unpack(bytes.NewReader(sealed), *key, bundle.Limits{}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func ptr(k bundle.Key) *bundle.Key { return &k }

// xzed is an xz stream of blocks of some bytes.
func xzed(t testing.TB, plain []byte, block int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16, BlockSize: block}.NewWriter(&b)
	finish(t, w, plain, err)
	return b.Bytes()
}

// One dictionary serves all blocks, and none sees what another has put there.
func TestXzBlocksOfAllKinds(t *testing.T) {
	plain := tarOf(t, append(good(), file("text", strings.Repeat("all work and no play ", 20_000)), file("noise", noise(200<<10)))...)
	for _, block := range []int64{20, 4 << 10, 70_000} {
		cut := plain
		if block < 100 {
			cut = tarOf(t, good()...)
		}
		var raw []byte
		for _, dictionary := range []int{1 << 12, 1 << 20, 1 << 16} { // larger, and smaller again
			size := len(cut) / 3
			if dictionary == 1<<16 {
				size = len(cut)
			}
			var b bytes.Buffer
			w, err := xz.WriterConfig{DictCap: dictionary, BlockSize: block}.NewWriter(&b)
			finish(t, w, cut[:size], err)
			cut, raw = cut[size:], append(raw, b.Bytes()...)
		}
		r := newRoom(t)
		if _, err := r.unpack(bytes.NewReader(raw), bundle.Key{}, bundle.Limits{}); err != nil {
			t.Errorf("blocks of %d: %v", block, err)
		}
	}
	// A block must begin with an empty dictionary: 0x02 is a chunk that keeps it.
	first := xzed(t, plain, 4<<10)
	for _, control := range []byte{0x02, 0x03, 0x7f, 0x80, 0xc0} {
		at := bytes.Index(first[24:], []byte{0xe0}) + 24
		raw := bytes.Clone(first)
		raw[at] = control
		r := newRoom(t)
		if _, err := r.unpack(bytes.NewReader(raw), bundle.Key{}, bundle.Limits{}); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("control byte %#x: %v", control, err)
		}
		r.untouched()
	}
}

// A header of age may hold many recipients, within limits of the library.
func TestAnAgeHeaderHasALimit(t *testing.T) {
	stanza := "-> X25519 CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\n"
	long := "-> " + strings.Repeat("x", 1<<16)
	for name, endless := range map[string]string{"stanzas": stanza, "a long line": long, "arguments": "-> a" + strings.Repeat(" b", 100_000)} {
		r := newRoom(t)
		raw := &source{head: strings.NewReader("age-encryption.org/v1\n"), more: &repeated{piece: []byte(endless)}, after: 1 << 60}
		if _, err := r.unpack(raw, identityKey(), bundle.Limits{}); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if n := raw.n.Load(); n > 4<<20 {
			t.Errorf("%s: %d bytes were read", name, n)
		}
		r.untouched()
	}
}

func TestWhatGNUTarAdds(t *testing.T) {
	for name, tt := range map[string]struct {
		raw  []byte
		text string // of the refusal; empty: it is read
	}{
		"a volume label":             {append(rawHeader(tar.Header{Name: "Backup of /srv\x1b[2J", Typeflag: 'V'}), tarOf(t, good()...)...), ""},
		"a label alone":              {append(rawHeader(tar.Header{Name: "x", Typeflag: 'V'}), make([]byte, 1024)...), "no module"},
		"an incremental's folder":    {append(rawHeader(tar.Header{Name: "d/", Typeflag: 'D'}), tarOf(t, good()...)...), "without tar's --listed-incremental"},
		"the rest of another volume": {append(rawHeader(tar.Header{Name: "f", Typeflag: 'M'}), tarOf(t, good()...)...), "without tar's --multi-volume"},
	} {
		r := newRoom(t)
		_, err := r.unpack(bytes.NewReader(tt.raw), bundle.Key{}, bundle.Limits{})
		if tt.text == "" && err != nil || tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%s: error %v, want %q", name, err, tt.text)
		}
		if err != nil {
			r.untouched()
		}
	}
}
