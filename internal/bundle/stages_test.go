package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"startup-bundle/internal/bundle"

	"filippo.io/age"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

var (
	errLate    = errors.New("the time is up")
	errStopped = errors.New("asked to stop")
)

// ending is one way for a context to end. end ends it now; where nobody does, it ends
// after an hour.
type ending struct {
	name  string
	cause error
	start func(context.Context) (ctx context.Context, end func(), cancel func())
}

var endings = []ending{
	{"deadline", errLate, func(ctx context.Context) (context.Context, func(), func()) {
		ctx, cancel := context.WithTimeoutCause(ctx, time.Hour, errLate)
		return ctx, func() { time.Sleep(time.Hour); synctest.Wait() }, cancel
	}},
	{"signal", errStopped, func(ctx context.Context) (context.Context, func(), func()) {
		ctx, cancel := context.WithCancelCause(ctx)
		stop := func() { cancel(errStopped) }
		time.AfterFunc(time.Hour, stop)
		return ctx, stop, stop
	}},
}

// source is a raw stream that gives head, and then hangs, or gives what more has.
type source struct {
	head  io.Reader
	more  io.Reader // nil: it hangs until it is closed
	after int64     // when so much is read, end is called
	end   func()
	freed chan struct{}
	n     atomic.Int64
	late  atomic.Int64 // read since end was called
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.head.Read(p)
	if err == io.EOF && s.more == nil {
		<-s.freed
		return 0, errors.New("closed")
	}
	if err == io.EOF {
		n, err = s.more.Read(p)
	}
	if s.ended {
		s.late.Add(int64(n))
	}
	if s.n.Add(int64(n)) > s.after && s.more != nil && !s.ended {
		s.ended = true
		s.end()
	}
	return n, err
}

// piped returns what write writes, from a goroutine that ends with the pipe.
func piped(write func(io.Writer)) *io.PipeReader {
	r, w := io.Pipe()
	go func() {
		write(w)
		_ = w.Close()
	}()
	return r
}

// layers are the ways to wrap a tar.
var layers = map[string]struct {
	key  bundle.Key
	wrap func(io.Writer) (io.WriteCloser, error)
}{
	"tar":  {bundle.Key{}, func(w io.Writer) (io.WriteCloser, error) { return keepOpen{w}, nil }},
	"gzip": {bundle.Key{}, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) }},
	"zstd": {bundle.Key{}, func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	}},
	"xz": {bundle.Key{}, func(w io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{DictCap: 1 << 16, BlockSize: 1 << 20}.NewWriter(w)
	}},
	"age tar":     {identityKey(), func(w io.Writer) (io.WriteCloser, error) { return age.Encrypt(w, identity().Recipient()) }},
	"age zstd":    {identityKey(), func(w io.Writer) (io.WriteCloser, error) { return bundle.Seal(w, identity().Recipient()) }},
	"openssl tar": {passKey(), func(w io.Writer) (io.WriteCloser, error) { return bundle.SealOpenSSL(w, passKey().Secret) }},
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// contents are tars that never end, or end and are followed by something.
var contents = map[string]func(io.Writer){
	"in a file": func(w io.Writer) {
		out := tar.NewWriter(w)
		writeAll(out, good())
		_ = out.WriteHeader(&tar.Header{Name: "large", Mode: 0o644, Size: 8 << 30, Typeflag: tar.TypeReg})
		_, _ = io.Copy(out, endlessNoise())
	},
	"among small files": func(w io.Writer) {
		out := tar.NewWriter(w)
		random, body := endlessNoise(), make([]byte, 10_000)
		err := writeAll(out, good())
		for i := 0; err == nil; i++ {
			_, _ = random.Read(body)
			err = writeAll(out, []entry{file(fmt.Sprintf("f/%d", i), string(body))})
		}
	},
	"among extended headers": func(w io.Writer) {
		out := tar.NewWriter(w)
		writeAll(out, good())
		_ = out.Flush()
		var err error
		for random := endlessNoise(); err == nil; {
			text := noisyRecord(random)
			block := rawHeader(tar.Header{Typeflag: tar.TypeXHeader, Name: "x", Size: int64(len(text))})
			_, err = w.Write(append(block, padded(text)...))
		}
	},
}

func endlessNoise() io.Reader { return rand.NewChaCha8([32]byte{2}) }

func writeAll(out *tar.Writer, entries []entry) error {
	for _, e := range entries {
		h := e.Header
		if err := out.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := io.WriteString(out, e.body); err != nil {
			return err
		}
	}
	return nil
}

// noisyRecord is a PAX record that does not compress.
func noisyRecord(random io.Reader) string {
	body := make([]byte, 30_000)
	_, _ = random.Read(body)
	text := fmt.Sprintf("T.x=%x\n", body)
	for n := len(text); ; n++ {
		if record := fmt.Sprintf("%d %s", n, text); len(record) == n {
			return record
		}
	}
}

func padded(text string) []byte {
	return append([]byte(text), make([]byte, -len(text)&511)...)
}

// rawHeader is a ustar header of any type.
func rawHeader(h tar.Header) []byte {
	b := make([]byte, 512)
	copy(b, h.Name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00", h.Size))
	copy(b[136:], "00000000000\x00        ")
	b[156] = h.Typeflag
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// openAndUnpack is what a boot does.
func openAndUnpack(ctx context.Context, raw io.Reader, key bundle.Key, dest string) error {
	in, err := bundle.Open(ctx, raw, key)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = bundle.Unpack(ctx, in, dest, bundle.Limits{})
	return err
}

func checkEnded(t *testing.T, err, cause error, dest string) {
	t.Helper()
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
	if anyOf(err, bundle.ErrDamaged, bundle.ErrFormat, bundle.ErrKey, bundle.ErrUnsafe) {
		t.Errorf("the end of the context is taken for something else: %v", err)
	}
	for _, path := range []string{dest, dest + bundle.StageSuffix} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// A stream that hangs, wherever the pipeline then is, holds nobody up.
func TestEveryStageEndsWithItsContextWhenTheStreamHangs(t *testing.T) {
	plain := tarOf(t, with(file("noise", noise(300<<10)))...)
	to, err := bundle.PassphraseRecipient(passKey().Secret)
	if err != nil {
		t.Fatal(err)
	}
	sealed, salted, protected := seal(t, plain), sealOpenSSL(t, plain), seal(t, plain, to)
	for name, tt := range map[string]struct {
		head []byte
		key  bundle.Key
	}{
		"before the first byte":          {nil, bundle.Key{}},
		"in the magic":                   {[]byte("age-encr"), identityKey()},
		"in the age header":              {sealed[:40], identityKey()},
		"between header and payload":     {sealed[:bytes.Index(sealed, []byte("\n---"))+50], identityKey()},
		"in an age payload":              {sealed[:len(sealed)/2], identityKey()},
		"before age's last chunk":        {sealed[:len(sealed)-10], identityKey()},
		"after age's last chunk":         {sealed, identityKey()},
		"in a passphrase's payload":      {protected[:len(protected)/2], passKey()},
		"in the salt":                    {salted[:12], passKey()},
		"in the openssl trial":           {salted[:100], passKey()},
		"in an openssl payload":          {salted[:len(salted)/2], passKey()},
		"before openssl's last block":    {salted[:len(salted)-8], passKey()},
		"in a tar's header":              {plain[:1024+200], bundle.Key{}},
		"in a file of a tar":             {plain[:len(plain)/2], bundle.Key{}},
		"in the end of a tar":            {plain[:len(plain)-1000], bundle.Key{}},
		"after the end of a tar":         {plain, bundle.Key{}},
		"in the zeros after a tar":       {append(bytes.Clone(plain), make([]byte, 100<<10)...), bundle.Key{}},
		"in a zstd frame":                {zstded(t, plain)[:100<<10], bundle.Key{}},
		"after a zstd frame":             {zstded(t, plain), bundle.Key{}},
		"in a skippable frame":           {[]byte("\x50\x2a\x4d\x18\x00\x00\x00\x70more"), bundle.Key{}},
		"in a gzip header":               {gzipped(t, plain)[:5], bundle.Key{}},
		"in a gzip member":               {gzipped(t, plain)[:100<<10], bundle.Key{}},
		"after a gzip member":            {gzipped(t, plain), bundle.Key{}},
		"in an xz header":                {xzStreamHeader()[:8], bundle.Key{}},
		"in an xz block's header":        {xzHeader(10)[:15], bundle.Key{}},
		"in an xz block":                 {xzHeader(10), bundle.Key{}},
		"after an xz stream":             {xzEmpty(), bundle.Key{}},
		"in the padding after a stream":  {append(xzEmpty(), 0, 0, 0, 0, 0), bundle.Key{}},
		"in bytes that are of no format": {[]byte("hello"), bundle.Key{}},
	} {
		for _, e := range endings {
			t.Run(name+"/"+e.name, func(t *testing.T) {
				dest := filepath.Join(t.TempDir(), "bundle")
				synctest.Test(t, func(t *testing.T) {
					ctx, _, cancel := e.start(t.Context())
					defer cancel()
					raw := &source{head: bytes.NewReader(tt.head), freed: make(chan struct{})}
					began := time.Now()
					err := openAndUnpack(ctx, raw, tt.key, dest)
					if took := time.Since(began); took != time.Hour {
						t.Errorf("it took %v, and the context ended after an hour", took)
					}
					checkEnded(t, err, e.cause, dest)
					close(raw.freed) // as closing the stream does
				})
			})
		}
	}
}

// What never ends is read no further than the buffers once the context has ended.
func TestEveryStageEndsWithItsContextWhenTheDataNeverEnds(t *testing.T) {
	const buffered = 8 << 20
	for layer, l := range layers {
		for place, write := range contents {
			for _, e := range endings {
				t.Run(fmt.Sprint(layer, "/", place, "/", e.name), func(t *testing.T) {
					dest := filepath.Join(t.TempDir(), "bundle")
					synctest.Test(t, func(t *testing.T) {
						ctx, end, cancel := e.start(t.Context())
						defer cancel()
						endless := piped(func(w io.Writer) {
							if sealed, err := l.wrap(w); err == nil {
								write(sealed)
								_ = sealed.Close()
							}
						})
						defer endless.Close()
						raw := &source{head: strings.NewReader(""), more: endless, after: 1 << 20, end: end}
						checkEnded(t, openAndUnpack(ctx, raw, l.key, dest), e.cause, dest)
						if late := raw.late.Load(); late > buffered {
							t.Errorf("%d bytes were read after the end", late)
						}
					})
				})
			}
		}
	}
}

// A key that takes long to derive is left to itself.
func TestOpenDoesNotWaitForAKey(t *testing.T) {
	plain := tarOf(t, good()...)
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(bundle.MaxWorkFactor)
	slow := passKey()
	slow.Iterations = 1_000_000
	for name, tt := range map[string]struct {
		raw []byte
		key bundle.Key
	}{
		"scrypt": {seal(t, plain, to), passKey()},
		"pbkdf2": {sealOpenSSL(t, plain), slow},
	} {
		for _, e := range endings {
			t.Run(name+"/"+e.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, end, cancel := e.start(t.Context())
					defer cancel()
					time.AfterFunc(0, end)
					raw := &source{head: bytes.NewReader(tt.raw), freed: make(chan struct{})}
					if _, err := bundle.Open(ctx, &onceEnded{raw, ctx}, tt.key); !errors.Is(err, e.cause) {
						t.Errorf("error %v, want %v", err, e.cause)
					}
					close(raw.freed)
				})
			})
		}
	}
}

// onceEnded gives its bytes when the context has ended: what is done with them is
// done too late.
type onceEnded struct {
	r   io.Reader
	ctx context.Context
}

func (o *onceEnded) Read(p []byte) (int, error) {
	<-o.ctx.Done()
	return o.r.Read(p)
}
