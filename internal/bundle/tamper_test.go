package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"

	"filippo.io/age"
)

func TestEveryFlippedByteOfAnAgeBundleIsRefused(t *testing.T) {
	sealed := seal(t, tarOf(t, good()...))
	r := newRoom(t)
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1 << (i % 8)
		if _, err := r.unpack(bytes.NewReader(flipped), identityKey(), bundle.Limits{}); err == nil {
			t.Fatalf("byte %d of %d flipped: opened", i, len(sealed))
		} else if !anyOf(err, bundle.ErrDamaged, bundle.ErrKey, bundle.ErrFormat) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	r.untouched()
}

func TestTruncatedAnywhereIsRefused(t *testing.T) {
	plain := tarOf(t, good()...)
	for name, made := range map[string]struct {
		raw []byte
		key bundle.Key
	}{
		"age":     {seal(t, plain), identityKey()},
		"gzip":    {gzipped(t, plain), bundle.Key{}},
		"zstd":    {zstded(t, plain), bundle.Key{}},
		"openssl": {sealOpenSSL(t, zstded(t, plain)), passKey()},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			for n := range made.raw {
				if _, err := r.unpack(bytes.NewReader(made.raw[:n]), made.key, bundle.Limits{}); err == nil {
					t.Fatalf("cut to %d of %d bytes: opened", n, len(made.raw))
				} else if !anyOf(err, bundle.ErrDamaged, bundle.ErrFormat, bundle.ErrKey) {
					t.Fatalf("cut to %d bytes: %v", n, err)
				}
			}
			r.untouched()
		})
	}
}

func TestTruncatedAtEachChunkBoundaryIsRefused(t *testing.T) {
	const chunk = 64<<10 + 16 // of age's stream
	for _, layer := range []func(testing.TB, []byte) []byte{
		func(_ testing.TB, b []byte) []byte { return b },
		func(t testing.TB, b []byte) []byte { return zstded(t, b) },
	} {
		sealed := encrypt(t, layer(t, tarOf(t, append(good(), file("noise", noise(600<<10)))...)))
		body := len(sealed) % chunk // header and nonce, and the last chunk
		header := bytes.Index(sealed, []byte("\n--- ")) + 1
		header += bytes.IndexByte(sealed[header:], '\n') + 1 + 16
		t.Logf("%d bytes, %d of them header, %d over", len(sealed), header, body)
		r := newRoom(t)
		for at := header; at < len(sealed); at += chunk {
			for _, n := range []int{at - 1, at, at + 1, at + 15, at + 16, at + 17} {
				if n >= len(sealed) {
					continue
				}
				if _, err := r.unpack(bytes.NewReader(sealed[:n]), identityKey(), bundle.Limits{}); !errors.Is(err, bundle.ErrDamaged) {
					t.Errorf("cut to %d of %d bytes: %v", n, len(sealed), err)
				}
			}
		}
		r.untouched()
	}
}

func TestBytesAfterTheEndOfEachLayerAreRefused(t *testing.T) {
	plain := tarOf(t, good()...)
	for name, tt := range map[string]struct {
		raw  []byte
		key  bundle.Key
		want error
	}{
		"after age":              {append(seal(t, plain), "x"...), identityKey(), bundle.ErrDamaged},
		"a second age file":      {append(seal(t, plain), seal(t, plain)...), identityKey(), bundle.ErrDamaged},
		"after zstd in age":      {encrypt(t, append(zstded(t, plain), "garbage"...)), identityKey(), bundle.ErrDamaged},
		"after gzip in age":      {encrypt(t, append(gzipped(t, plain), "garbage"...)), identityKey(), bundle.ErrDamaged},
		"after tar in zstd":      {seal(t, append(bytes.Clone(plain), "garbage"...)), identityKey(), bundle.ErrUnsafe},
		"a second tar":           {seal(t, append(bytes.Clone(plain), plain...)), identityKey(), bundle.ErrUnsafe},
		"a second frame":         {encrypt(t, append(zstded(t, plain), zstded(t, plain)...)), identityKey(), bundle.ErrUnsafe},
		"a second gzip member":   {append(gzipped(t, plain), gzipped(t, plain)...), bundle.Key{}, bundle.ErrUnsafe},
		"after openssl":          {append(sealOpenSSL(t, plain), "0123456789abcdef"...), passKey(), bundle.ErrDamaged},
		"half a block, openssl":  {append(sealOpenSSL(t, plain), "0123"...), passKey(), bundle.ErrDamaged},
		"after gzip in openssl":  {sealOpenSSL(t, append(gzipped(t, plain), "garbage"...)), passKey(), bundle.ErrDamaged},
		"zeros, without measure": {seal(t, append(bytes.Clone(plain), make([]byte, 2<<20)...)), identityKey(), bundle.ErrUnsafe},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			if _, err := r.unpack(bytes.NewReader(tt.raw), tt.key, bundle.Limits{}); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			r.untouched()
		})
	}
}

func TestConcatenatedPartsOfOneTarAreRead(t *testing.T) {
	plain := tarOf(t, good()...)
	for name, raw := range map[string][]byte{
		"zstd frames":  append(zstded(t, plain[:700]), zstded(t, plain[700:])...),
		"gzip members": append(gzipped(t, plain[:700]), gzipped(t, plain[700:])...),
		"padded tar":   append(bytes.Clone(plain), make([]byte, 64<<10)...),
	} {
		if _, err := newRoom(t).unpack(bytes.NewReader(raw), bundle.Key{}, bundle.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongKeys(t *testing.T) {
	plain := tarOf(t, good()...)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	protected, err := bundle.PassphraseRecipient(secret.New(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	key := func(text string) bundle.Key { return bundle.Key{Secret: secret.New(text)} }
	for name, tt := range map[string]struct {
		raw  []byte
		key  bundle.Key
		want string
	}{
		"another identity":              {seal(t, plain), key(other.String()), "wrong key"},
		"another kind of identity":      {seal(t, plain), key(hybrid.String()), "wrong key"},
		"an identity for a hybrid":      {seal(t, plain, hybrid.Recipient()), identityKey(), "wrong key"},
		"another passphrase":            {seal(t, plain, protected), key("x"), "wrong key"},
		"a passphrase for an identity":  {seal(t, plain), passKey(), "the key is a passphrase"},
		"an identity for a passphrase":  {seal(t, plain, protected), identityKey(), "the key is an age identity"},
		"a mistyped identity":           {seal(t, plain), key(identity().String() + "Q"), "not a valid age identity"},
		"a mistyped hybrid":             {seal(t, plain), key("AGE-SECRET-KEY-PQ-1QQ"), "not a valid age identity"},
		"a plugin's identity":           {seal(t, plain), key("AGE-PLUGIN-X-1QQ"), "the key is a passphrase"},
		"no key, age":                   {seal(t, plain), bundle.Key{}, "no key is given"},
		"no key, openssl":               {sealOpenSSL(t, plain), bundle.Key{}, "no key is given"},
		"a needless key":                {gzipped(t, plain), passKey(), "not encrypted"},
		"another passphrase, openssl":   {sealOpenSSL(t, plain), key("x"), "openssl_iterations"},
		"iterations for none":           {sealOpenSSL(t, plain), bundle.Key{Secret: secret.New(passphrase), Iterations: 7}, "key derivations"},
		"an identity for openssl":       {sealOpenSSL(t, plain), identityKey(), "key derivations"},
		"an empty file inside openssl":  {sealOpenSSL(t, nil), passKey(), "key derivations"},
		"a text inside openssl":         {sealOpenSSL(t, []byte(strings.Repeat("hello ", 500))), passKey(), "key derivations"},
		"a short text inside openssl":   {sealOpenSSL(t, []byte("hello")), passKey(), "key derivations"},
		"an identity in lower case age": {seal(t, plain), key(strings.ToLower(identity().String())), "the key is a passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			_, err := r.unpack(bytes.NewReader(tt.raw), tt.key, bundle.Limits{})
			if !errors.Is(err, bundle.ErrKey) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want ErrKey with %q", err, tt.want)
			}
			if secret := tt.key.Secret.Reveal(); len(secret) > 4 && err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the key: %v", err)
			}
			r.untouched()
		})
	}
}

func TestAnAbsurdWorkFactorIsRefusedBeforeItIsPaid(t *testing.T) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(1)
	sealed := seal(t, tarOf(t, good()...), to)
	for _, factor := range []string{"19", "22", "30"} {
		line := bytes.Index(sealed, []byte(" 1\n"))
		raw := append(append(bytes.Clone(sealed[:line+1]), factor...), sealed[line+2:]...)
		r := newRoom(t)
		_, err := r.unpack(bytes.NewReader(raw), passKey(), bundle.Limits{})
		if !errors.Is(err, bundle.ErrFormat) || !strings.Contains(err.Error(), "work factor of 2^"+factor) {
			t.Errorf("work factor %s: %v", factor, err)
		}
		r.untouched()
	}
}

// networkError stands for what a transport may say; that it wraps io.EOF or
// io.ErrUnexpectedEOF, as net/http's errors do, must not make it an end.
type networkError struct{ cause error }

func (e *networkError) Error() string { return "connection lost: " + e.cause.Error() }
func (e *networkError) Unwrap() error { return e.cause }

func TestErrorsOfTheRawStreamComeThroughFromAnywhere(t *testing.T) {
	plain := tarOf(t, append(good(), file("noise", noise(2000)))...)
	sealers := map[string]struct {
		raw []byte
		key bundle.Key
	}{
		"age zstd":     {seal(t, plain), identityKey()},
		"age gzip":     {encrypt(t, gzipped(t, plain)), identityKey()},
		"age tar":      {encrypt(t, plain), identityKey()},
		"openssl tar":  {sealOpenSSL(t, plain), passKey()},
		"openssl zstd": {sealOpenSSL(t, zstded(t, plain)), passKey()},
		"zstd":         {zstded(t, plain), bundle.Key{}},
		"gzip":         {gzipped(t, plain), bundle.Key{}},
		"tar":          {plain, bundle.Key{}},
	}
	if xz := xzIfThere(t, plain); xz != nil {
		sealers["age xz"] = struct {
			raw []byte
			key bundle.Key
		}{encrypt(t, xz), identityKey()}
	}
	for name, s := range sealers {
		for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("reset")} {
			t.Run(fmt.Sprint(name, " ", cause), func(t *testing.T) {
				r := newRoom(t)
				for n := 0; n <= len(s.raw); n += 1 + len(s.raw)/60 {
					checkLost(t, r, s.raw[:n], s.key, cause)
				}
				checkLost(t, r, s.raw, s.key, cause)
				r.untouched()
			})
		}
	}
}

func checkLost(t *testing.T, r *room, head []byte, key bundle.Key, cause error) {
	t.Helper()
	raw := io.MultiReader(bytes.NewReader(head), iotest.ErrReader(&networkError{cause}))
	_, err := r.unpack(raw, key, bundle.Limits{})
	var lost *networkError
	if !errors.As(err, &lost) {
		t.Fatalf("after %d bytes: %v, want the network's error", len(head), err)
	}
	if anyOf(err, bundle.ErrDamaged, bundle.ErrKey, bundle.ErrFormat, bundle.ErrUnsafe) {
		t.Fatalf("after %d bytes: %v is taken for something else", len(head), err)
	}
}

func TestAwkwardReadersGiveTheSame(t *testing.T) {
	sealed := seal(t, tarOf(t, append(good(), file("noise", noise(300<<10)))...))
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte":     iotest.OneByteReader,
		"half":         iotest.HalfReader,
		"data and err": iotest.DataErrReader,
	} {
		r := newRoom(t)
		if _, err := r.unpack(wrap(bytes.NewReader(sealed)), identityKey(), bundle.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := newRoom(t)
	if _, err := r.unpack(iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(sealed))), identityKey(), bundle.Limits{}); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("time-out: %v", err)
	}
	if _, err := r.unpack(idle{}, identityKey(), bundle.Limits{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
	r.untouched()
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestUnpackEndsWithItsContext(t *testing.T) {
	in, err := bundle.Open(t.Context(), bytes.NewReader(seal(t, tarOf(t, good()...))), identityKey())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRoom(t)
	if _, err := bundle.Unpack(ctx, in, r.dest, bundle.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	r.untouched()
}

func TestUnpackOverwritesNothing(t *testing.T) {
	r := newRoom(t)
	write(t, r.dest+"/mine", "keep")
	r.before = snapshot(t, r.parent)
	if _, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, good()...))), identityKey(), bundle.Limits{}); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("error %v", err)
	}
	r.untouched()

	r = newRoom(t)
	write(t, r.dest+bundle.StageSuffix+"/half", "left by an earlier run")
	if _, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, good()...))), identityKey(), bundle.Limits{}); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(r.dest + "/half"); err == nil {
		t.Error("an earlier run's half is part of the bundle")
	}
}

func anyOf(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

func xzIfThere(t testing.TB, plain []byte) []byte {
	t.Helper()
	path, err := lookTool("xz")
	if err != nil {
		t.Log("xz is not installed: its errors are not tested here")
		return nil
	}
	return tool(t, plain, path, "-c")
}
