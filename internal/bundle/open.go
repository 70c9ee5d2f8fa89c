package bundle

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"startup-bundle/internal/secret"
)

// Encryption names the outer layer of a bundle.
type Encryption string

// Compression names the layer inside the encryption.
type Compression string

// What Open finds.
const (
	AgePassphrase Encryption = "age passphrase"
	AgeRecipient  Encryption = "age recipient"
	OpenSSL       Encryption = "openssl aes-256-cbc"
	Plain         Encryption = "none"

	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
	Xz   Compression = "xz"
	Tar  Compression = "none"
)

// MaxWindow is the largest zstd window Open accepts, in bytes: what decoding
// needs in memory is a little more.
const MaxWindow = 8 << 20

// WriteWindow is the window of what Seal writes, in bytes: that of stock zstd. A
// larger one makes text no smaller, and the reader slower and larger: it
// remembers that much.
const WriteWindow = 2 << 20

const (
	headSize = 1024 // peeked to tell the layers apart

	// Between any two stages of the pipeline at most this much is buffered: enough
	// for a stage that gives some stretches many times as fast as others.
	aheadBlocks = 16
	aheadSize   = 128 << 10
)

// Kind says how a bundle is sealed. The first bytes of each layer tell; no
// name, header or flag does.
type Kind struct {
	Encryption  Encryption
	Compression Compression // empty where the key is not known
	Derivation  string      // of an openssl bundle: sha256, md5 or pbkdf2
}

// Authenticated reports whether opening the bundle proved that who made it had
// the key. Only age under a passphrase gives that: openssl's format has no
// integrity at all, and to an age recipient anybody can encrypt.
func (k Kind) Authenticated() bool { return k.Encryption == AgePassphrase }

// Key is what may be needed to open a bundle.
type Key struct {
	Secret     secret.String // a passphrase or an age identity; unset for an unencrypted bundle
	Iterations int           // of openssl enc -pbkdf2 -iter; 0: try the usual derivations
}

// Reader gives a bundle's tar bytes. Its io.EOF means that every layer ended
// where it should: authenticated where the encryption does that, checksums
// right, and nothing after the end. Only io.EOF itself means that, not an
// error that wraps it.
type Reader struct {
	ctx     context.Context //nolint:containedctx // of all stages: it ends with Open's, and by Close
	cancel  context.CancelCauseFunc
	kind    Kind
	counted *counter
	top     *readAhead      // what Read reads
	layers  []*bufio.Reader // below top, from the network up
	closers []func()
	tee     io.Writer
	ended   bool
	after   error // what end found
}

// Tee makes Read write to w what it gives.
func (r *Reader) Tee(w io.Writer) { r.tee = w }

// Kind returns how the bundle was sealed.
func (r *Reader) Kind() Kind { return r.kind }

// Identify says how a bundle is sealed from its first bytes alone, without a
// key. For an encrypted bundle Compression is empty.
func Identify(head []byte) (Kind, error) {
	switch {
	case bytes.HasPrefix(head, []byte(ageIntro)):
		return Kind{Encryption: ageKind(head)}, nil
	case bytes.HasPrefix(head, []byte(saltedMagic)):
		return Kind{Encryption: OpenSSL}, nil
	}
	if c := compressionOf(head); c != "" {
		return Kind{Encryption: Plain, Compression: c}, nil
	}
	return Kind{}, unknownFormat(head)
}

// Open starts reading the bundle in raw. raw stays the caller's to close, after
// the Reader. Each layer works on a goroutine of its own with bounded buffers:
// decryption, decompression and the caller proceed at the same time. raw itself is
// read as its bytes are wanted.
//
// Once ctx ends, Open and all reading fail at once with its cause, whatever a layer
// is busy with. A read of raw that hangs is left behind: closing raw frees it.
//
// Errors are ErrKey, ErrFormat, ErrDamaged or ErrUnsafe, the cause of ctx, or raw's
// own, unchanged.
func Open(ctx context.Context, raw io.Reader, key Key) (*Reader, error) {
	r := &Reader{counted: &counter{r: raw}}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	opened := make(chan struct{})
	var err error
	go func() {
		defer close(opened)
		err = r.open(key)
	}()
	select {
	case <-opened:
		if err != nil {
			r.Close()
			return nil, err
		}
		return r, nil
	case <-ctx.Done():
		go func() { // it may hang in raw, or derive a key
			<-opened
			r.Close()
		}()
		return nil, ended(ctx)
	}
}

func (r *Reader) open(key Key) error {
	in := r.layer(r.counted)
	head, err := peek(in)
	if err != nil {
		return err
	}
	return r.decrypt(in, head, key)
}

// layer puts a small buffer to peek into above from.
func (r *Reader) layer(from io.Reader) *bufio.Reader {
	buffered := bufio.NewReaderSize(from, headSize)
	r.layers = append(r.layers, buffered)
	return buffered
}

// stage puts a goroutine above from.
func (r *Reader) stage(from io.Reader) *readAhead {
	return newReadAhead(r.ctx, from, aheadBlocks, aheadSize)
}

func (r *Reader) decrypt(in *bufio.Reader, head []byte, key Key) error {
	kind, err := Identify(head)
	if err != nil {
		return err
	}
	r.kind = kind
	if kind.Encryption != Plain && !key.Secret.IsSet() {
		return fmt.Errorf("%w: it is encrypted (%s) and no key is given", ErrKey, kind.Encryption)
	}
	var plain io.Reader = in
	switch kind.Encryption {
	case AgePassphrase, AgeRecipient:
		plain, err = openAge(in, kind.Encryption, key.Secret)
	case OpenSSL:
		plain, r.kind.Derivation, err = openSalted(in, head, []byte(key.Secret.Reveal()), key.Iterations)
	default:
		if key.Secret.IsSet() {
			err = fmt.Errorf("%w: a key is given and the file is not encrypted: somebody may have put another file in its place; to run it all the same, leave the key out", ErrKey)
		}
	}
	if err != nil {
		return err
	}
	d := &decompressor{below: r.stage(plain)}
	above := r.layer(d)
	if head, err = peek(above); err != nil {
		return err
	}
	if r.kind.Compression = compressionOf(head); r.kind.Compression == "" {
		return unknownFormat(head)
	}
	if d.how, d.r = r.kind.Compression, above; d.how != Tar {
		var end func()
		if d.r, end, err = decompress(d.how, above); err != nil {
			return decompressError(d.how, err)
		}
		r.closers = append(r.closers, end)
	}
	r.top = r.stage(outOf{d})
	return nil
}

// Read reads tar bytes.
func (r *Reader) Read(p []byte) (int, error) {
	data, err := r.next(len(p))
	return copy(p, data), err
}

// next returns what is there of the next most bytes, until the next call, so that
// they need not be copied.
func (r *Reader) next(most int) ([]byte, error) {
	data, err := r.top.next(most)
	if r.tee != nil && len(data) > 0 {
		if _, err := r.tee.Write(data); err != nil {
			return data, err
		}
	}
	if isEnd(err) {
		if !r.ended {
			r.ended, r.after = true, r.end()
		}
		if r.after != nil {
			err = r.after
		}
	}
	return data, err
}

// end makes sure that every layer has ended, innermost first: archive/tar and
// the decompressors stop at their own end, and what age has not yet
// authenticated, or the transport not yet verified, lies behind it.
func (r *Reader) end() error {
	for _, layer := range slices.Backward(r.layers) {
		switch _, err := layer.ReadByte(); {
		case err == nil:
			return fmt.Errorf("%w: something follows its end", ErrDamaged)
		case !isEnd(err):
			return err
		}
	}
	return nil
}

// BytesIn returns how many bytes of the bundle were read so far. It may run
// ahead of what Read has given.
func (r *Reader) BytesIn() int64 { return r.counted.n.Load() }

// Close ends the pipeline. It does not close the stream below: close that
// afterwards, which also frees a stage that waits for it.
func (r *Reader) Close() {
	r.cancel(errClosed)
	// The lowest stage may hang in raw's Read; the one above it ends by itself, and
	// must have before the decoder under it is closed.
	if r.top != nil {
		<-r.top.stopped
	}
	for _, c := range r.closers {
		c()
	}
	r.closers = nil
}

func peek(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(headSize)
	if err != nil && !isEnd(err) {
		return nil, err
	}
	return head, nil
}

// compressionOf tells what the first bytes of an archive are; empty: none known.
func compressionOf(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippable(head):
		return Zstd
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return Xz
	case isTarHeader(head):
		return Tar
	}
	return ""
}

// isSkippable reports whether a zstd skippable frame begins here (RFC 8878, 3.1.2),
// which pzstd puts before each of its frames.
func isSkippable(head []byte) bool {
	return len(head) >= 8 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18})
}

// isTarHeader checks the header's checksum.
func isTarHeader(head []byte) bool {
	const at, width = 148, 8
	if len(head) < tarBlock || head[0] == 0 {
		return false
	}
	field := strings.Trim(string(head[at:at+width]), " \x00")
	stated, err := strconv.ParseInt(field, 8, 64)
	return err == nil && stated == tarSum(head)
}

func unknownFormat(head []byte) error {
	switch {
	case len(head) == 0:
		return fmt.Errorf("%w: the file is empty", ErrFormat)
	case bytes.HasPrefix(head, []byte("U2FsdGVkX1")):
		return fmt.Errorf("%w: it was made with openssl enc -a (base64): make it without", ErrFormat)
	case bytes.HasPrefix(head, []byte("-----BEGIN AGE")):
		return fmt.Errorf("%w: it was made with age -a (armor): make it without", ErrFormat)
	case head[0] == '<':
		return fmt.Errorf("%w: it looks like a web page or an XML error: check the URL", ErrFormat)
	}
	return fmt.Errorf("%w: it starts neither like age or openssl enc nor like a tar, gzip, zstd or xz archive: check the URL", ErrFormat)
}
