package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listed is an entry as far as a bundle takes notice of it.
type listed struct {
	Name, Link string
	Kind       byte
	Mode, Size int64
	PAX        map[string]string
	Content    string
}

func listEntry(h *tar.Header, content io.Reader) (listed, error) {
	text, err := io.ReadAll(content)
	return listed{h.Name, h.Linkname, h.Typeflag, h.Mode, h.Size, h.PAXRecords, string(text)}, err
}

// plainSource is a tar as Open's Reader would give it.
type plainSource struct{ io.Reader }

func (plainSource) BytesIn() int64 { return 1 << 40 }

func (s plainSource) next(most int) ([]byte, error) {
	data := make([]byte, most)
	n, err := s.Read(data)
	return data[:n], err
}

// listOwn lists a tar as entries reads it, and says how much of it archive/tar did.
func listOwn(raw []byte) (list []listed, stock int, cut bool, err error) {
	in := &bounded{r: plainSource{iotest.OneByteReader(bytes.NewReader(raw))}, limits: Limits{}.withDefaults()}
	for e := newEntries(in); ; {
		var h *tar.Header
		var content io.Reader
		h, content, cut, err = e.next()
		if err != nil {
			return list, stock, cut, err
		}
		one, err := listEntry(h, content)
		if err != nil {
			return list, stock, false, err
		}
		if list = append(list, one); e.rest != nil {
			stock++
		}
	}
}

// listStock lists it as archive/tar does.
func listStock(raw []byte) (list []listed, err error) {
	for t := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := t.Next()
		if err != nil {
			return list, err
		}
		one, err := listEntry(h, t)
		if err != nil {
			return list, err
		}
		list = append(list, one)
	}
}

func sameEnd(a, b error) bool {
	return errors.Is(a, io.EOF) == errors.Is(b, io.EOF) && errors.Is(a, io.ErrUnexpectedEOF) == errors.Is(b, io.ErrUnexpectedEOF)
}

func entriesTar(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, strings.Repeat(fmt.Sprint(i), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEntriesAreThoseOfArchiveTar(t *testing.T) {
	file := func(name string, size int64) *tar.Header {
		return &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size}
	}
	folder := &tar.Header{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o755}
	long := strings.Repeat("long/", 30)
	for name, test := range map[string]struct {
		headers []*tar.Header
		stock   int // how many archive/tar must have read
	}{
		"nothing":                        {nil, 0},
		"files around the block size":    {[]*tar.Header{folder, file("a", 0), file("b", 1), file("c", 511), file("d", 512), file("e", 513), file("f", 2000)}, 0},
		"a name in two fields":           {[]*tar.Header{file(long+"name", 5), file("a", 1)}, 0},
		"a name of 100 bytes":            {[]*tar.Header{file(strings.Repeat("n", 100), 5)}, 0},
		"a name that needs PAX":          {[]*tar.Header{file("a", 3), file("bücher", 5), file("b", 4)}, 2},
		"a name longer than ustar's":     {[]*tar.Header{file("a", 3), file(long+strings.Repeat("n", 200), 5), file("b", 4)}, 2},
		"a link":                         {[]*tar.Header{file("a", 3), {Name: "l", Linkname: "a", Typeflag: tar.TypeSymlink}, file("b", 4)}, 2},
		"GNU's format":                   {[]*tar.Header{{Name: "a", Typeflag: tar.TypeReg, Size: 4, Format: tar.FormatGNU}, file("b", 4)}, 2},
		"a time that ustar cannot hold":  {[]*tar.Header{{Name: "a", Typeflag: tar.TypeReg, Size: 4, ModTime: time.Unix(1<<40, 0)}, file("b", 4)}, 2},
		"setuid, which is refused later": {[]*tar.Header{{Name: "a", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 4}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			raw := entriesTar(t, test.headers...)
			for cut := 0; cut <= len(raw); cut++ {
				own, stock, noMark, err := listOwn(raw[:cut])
				want, wantErr := listStock(raw[:cut])
				if diff := cmp.Diff(want, own); diff != "" {
					t.Fatalf("after %d of %d bytes (-archive/tar +own):\n%s", cut, len(raw), diff)
				}
				// Only a cut inside the padding is an end to archive/tar and none here.
				if !sameEnd(err, wantErr) && (err == nil || errors.Is(err, io.EOF)) {
					t.Fatalf("after %d of %d bytes: %v, archive/tar: %v", cut, len(raw), err, wantErr)
				}
				if marked := len(raw) - cut; errors.Is(err, io.EOF) && noMark != (marked > tarBlock) {
					t.Fatalf("after %d of %d bytes: an end, cut: %v", cut, len(raw), noMark)
				}
				if cut == len(raw) && stock != test.stock {
					t.Fatalf("archive/tar read %d entries, not %d", stock, test.stock)
				}
			}
		})
	}
}

// FuzzPlainHeader holds the plain form to what archive/tar makes of the same bytes.
func FuzzPlainHeader(f *testing.F) {
	f.Add(entriesTar(f, &tar.Header{Name: "start", Typeflag: tar.TypeReg, Mode: 0o755, Size: 3})[:tarBlock])
	f.Add(entriesTar(f, &tar.Header{Name: strings.Repeat("long/", 30), Typeflag: tar.TypeDir, Mode: 0o755})[:tarBlock])
	f.Add(entriesTar(f, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Format: tar.FormatGNU})[:tarBlock])
	f.Fuzz(func(t *testing.T, block []byte) {
		if len(block) != tarBlock {
			return
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", tarSum(block))) // a fuzzer would not find it
		var own tar.Header
		if !plainHeader(block, &own) {
			return
		}
		stock, err := tar.NewReader(bytes.NewReader(block)).Next()
		if err != nil {
			t.Fatalf("archive/tar refuses it: %v", err)
		}
		want := tar.Header{Name: stock.Name, Typeflag: stock.Typeflag, Mode: stock.Mode, Size: stock.Size}
		if diff := cmp.Diff(want, own); diff != "" || stock.Linkname != "" || stock.PAXRecords != nil {
			t.Fatalf("(-archive/tar +own):\n%s", diff)
		}
	})
}
