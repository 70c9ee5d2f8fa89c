package bundle

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // openssl enc's derivation before 1.1.0: read, never relied on
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"
)

// The stream of "openssl enc -aes-256-cbc": 8 bytes of magic, 8 of salt, then
// blocks with PKCS#7 padding. It has no integrity: a flipped byte goes through.
const (
	saltedMagic = "Salted__"
	saltSize    = 8
	saltedSize  = len(saltedMagic) + saltSize

	// DefaultIterations is what "openssl enc -pbkdf2" uses without -iter.
	DefaultIterations = 10_000
	// trialSize is how much is decrypted to tell one derivation from another:
	// enough for the magic of a tar header.
	trialSize = 512
	// cbcSpan is how much ciphertext one Read takes in. CBC decryption of each
	// block needs only the one before it, so a span is shared out between cores.
	cbcSpan = 1 << 20
)

type derivation struct {
	name string
	key  func(passphrase, salt []byte) ([]byte, error) // 32 bytes of key, 16 of iv
}

// derivations lists what openssl enc may have used, newest habit first. With
// iterations > 0 the document names PBKDF2 with that count: nothing else is tried.
func derivations(iterations int) []derivation {
	stretch := func(n int) func(p, s []byte) ([]byte, error) {
		return func(p, s []byte) ([]byte, error) {
			return pbkdf2.Key(sha256.New, string(p), s, n, 48)
		}
	}
	if iterations > 0 {
		return []derivation{{"pbkdf2", stretch(iterations)}}
	}
	legacy := func(h func() hash.Hash) func(p, s []byte) ([]byte, error) {
		return func(p, s []byte) ([]byte, error) { return bytesToKey(h, p, s), nil }
	}
	return []derivation{
		{"sha256", legacy(sha256.New)},
		{"md5", legacy(md5.New)},
		{"pbkdf2", stretch(DefaultIterations)},
	}
}

// bytesToKey is OpenSSL's EVP_BytesToKey with one iteration: each digest is
// taken over the one before, the passphrase and the salt, until 48 bytes are there.
func bytesToKey(h func() hash.Hash, passphrase, salt []byte) []byte {
	var out, last []byte
	for len(out) < 48 {
		d := h()
		d.Write(last)
		d.Write(passphrase)
		d.Write(salt)
		last = d.Sum(nil)
		out = append(out, last...)
	}
	return out[:48]
}

// openSalted reads head, the first bytes of r (still unread there), finds the
// derivation whose plaintext starts like an archive, and decrypts r with it.
func openSalted(r io.Reader, head, passphrase []byte, iterations int) (io.Reader, string, error) {
	if len(head) < saltedSize+aes.BlockSize {
		return nil, "", fmt.Errorf("%w: it ends after %d bytes", ErrDamaged, len(head))
	}
	salt := head[len(saltedMagic):saltedSize]
	trial := head[saltedSize:]
	trial = trial[:min(len(trial), trialSize)/aes.BlockSize*aes.BlockSize]
	for _, d := range derivations(iterations) {
		key, err := d.key(passphrase, salt)
		if err != nil {
			return nil, "", fmt.Errorf("derive key: %w", err)
		}
		block, err := aes.NewCipher(key[:32])
		if err != nil {
			return nil, "", fmt.Errorf("derive key: %w", err)
		}
		plain := make([]byte, len(trial))
		cipher.NewCBCDecrypter(block, key[32:]).CryptBlocks(plain, trial)
		if compressionOf(plain) == "" {
			continue
		}
		if _, err := io.CopyN(io.Discard, r, int64(saltedSize)); err != nil {
			return nil, "", err
		}
		return &cbcReader{r: r, block: block, iv: bytes.Clone(key[32:])}, d.name, nil
	}
	return nil, "", fmt.Errorf("%w: none of openssl's key derivations (sha256, md5, pbkdf2) gives an archive: check the passphrase, and for -iter N add the line openssl_iterations: N", ErrKey)
}

// cbcReader decrypts AES-256-CBC with PKCS#7 padding. It holds back the last
// block until it has seen the end of the stream.
type cbcReader struct {
	r     io.Reader
	block cipher.Block
	iv    []byte
	buf   []byte // ciphertext, decrypted in place
	held  []byte // the last ciphertext block read, not yet known to be the last
	plain []byte // what is left to hand out, inside buf
	err   error
}

func (c *cbcReader) Read(p []byte) (int, error) {
	for len(c.plain) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

func (c *cbcReader) fill() {
	if c.buf == nil {
		c.buf = make([]byte, cbcSpan)
	}
	start := copy(c.buf, c.held)
	n, err := io.ReadFull(c.r, c.buf[start:])
	got := c.buf[:start+n]
	last := err == io.EOF || err == io.ErrUnexpectedEOF
	switch {
	case err != nil && !last:
		c.err = err
		return
	case len(got)%aes.BlockSize != 0 || len(got) == 0:
		c.err = fmt.Errorf("%w: it is truncated: its length is no multiple of the cipher's block", ErrDamaged)
		return
	}
	if !last {
		c.held = append(c.held[:0], got[len(got)-aes.BlockSize:]...)
		got = got[:len(got)-aes.BlockSize]
	}
	c.decrypt(got)
	c.plain = got
	if last {
		c.err = io.EOF
		if c.plain, err = unpad(got); err != nil {
			c.plain, c.err = nil, err
		}
	}
}

// decrypt decrypts data in place, a share to each core.
func (c *cbcReader) decrypt(data []byte) {
	shares := min(runtime.GOMAXPROCS(0), 4, 1+len(data)/(64<<10))
	size := (len(data)/shares + aes.BlockSize - 1) / aes.BlockSize * aes.BlockSize
	iv := c.iv
	c.iv = bytes.Clone(data[len(data)-aes.BlockSize:])
	var wg sync.WaitGroup
	for len(data) > 0 {
		share := data[:min(size, len(data))]
		data = data[len(share):]
		mode := cipher.NewCBCDecrypter(c.block, iv)
		iv = bytes.Clone(share[len(share)-aes.BlockSize:])
		if len(data) == 0 {
			mode.CryptBlocks(share, share)
			break
		}
		wg.Go(func() { mode.CryptBlocks(share, share) })
	}
	wg.Wait()
}

func unpad(data []byte) ([]byte, error) {
	n := int(data[len(data)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(data[len(data)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, fmt.Errorf("%w: it does not end where openssl ended it: truncated, or tampered with", ErrDamaged)
	}
	return data[:len(data)-n], nil
}

// sealSalted encrypts what is written to it as
// "openssl enc -aes-256-cbc -md sha256" does (the default since OpenSSL 1.1.0).
func sealSalted(w io.Writer, passphrase []byte) (io.WriteCloser, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("make salt: %w", err)
	}
	key := bytesToKey(sha256.New, passphrase, salt)
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	if _, err := w.Write(append([]byte(saltedMagic), salt...)); err != nil {
		return nil, err
	}
	return &cbcWriter{w: w, mode: cipher.NewCBCEncrypter(block, key[32:])}, nil
}

type cbcWriter struct {
	w    io.Writer
	mode cipher.BlockMode
	buf  []byte
}

func (c *cbcWriter) Write(p []byte) (int, error) {
	c.buf = append(c.buf, p...)
	whole := len(c.buf) / aes.BlockSize * aes.BlockSize
	if whole < 32<<10 {
		return len(p), nil
	}
	c.mode.CryptBlocks(c.buf[:whole], c.buf[:whole])
	if _, err := c.w.Write(c.buf[:whole]); err != nil {
		return 0, err
	}
	c.buf = append(c.buf[:0], c.buf[whole:]...)
	return len(p), nil
}

func (c *cbcWriter) Close() error {
	n := aes.BlockSize - len(c.buf)%aes.BlockSize
	c.buf = append(c.buf, bytes.Repeat([]byte{byte(n)}, n)...)
	c.mode.CryptBlocks(c.buf, c.buf)
	_, err := c.w.Write(c.buf)
	return err
}
