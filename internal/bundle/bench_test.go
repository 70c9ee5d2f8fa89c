package bundle_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"
)

// payload is a made-up archive: what is in it, and its tar.
type payload struct {
	name  string
	files []int // sizes
	plain []byte
}

// text is half noise, half repetition: it compresses about as programs do.
func text(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; {
		if r.IntN(2) == 0 {
			i += copy(b[i:], "the quick brown fox jumps over the lazy dog; ")
			continue
		}
		for end := min(n, i+24); i < end; i++ {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

func manySmallFiles() *payload { return makePayload("20000x4KiB", sizes(20_000, 4<<10)) }

func mixed() *payload {
	list := sizes(2000, 16<<10)
	for range 24 {
		list = append(list, 1<<20)
	}
	return makePayload("200MB", append(list, sizes(9, 16<<20)...))
}

func sizes(n, size int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = size
	}
	return list
}

func makePayload(name string, files []int) *payload {
	r := rand.New(rand.NewPCG(1, 2))
	pool := text(r, 32<<20)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, mode int64, body []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			panic(err)
		}
		if _, err := w.Write(body); err != nil {
			panic(err)
		}
	}
	add(top+"bundle.json", 0o644, []byte(smallManifest))
	add(top+"m/start", 0o755, []byte("#!/bin/sh\n"))
	for i, size := range files {
		at := r.IntN(len(pool) - size)
		add(fmt.Sprintf("%sm/d%03d/f%05d", top, i/100, i), 0o644, pool[at:at+size])
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return &payload{name, files, b.Bytes()}
}

// fast is a folder in memory where there is one, so that the disk is not what is measured.
func fast(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bundle")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

type format struct {
	name string
	raw  []byte
	key  bundle.Key
}

func formats(b *testing.B, plain []byte) []format {
	return []format{
		{"tar", plain, bundle.Key{}},
		{"zstd", zstded(b, plain), bundle.Key{}},
		{"gzip", gzipped(b, plain), bundle.Key{}},
		{"age+tar", encrypt(b, plain), identityKey()},
		{"age+zstd", seal(b, plain), identityKey()},
		{"openssl+tar", sealOpenSSL(b, plain), passKey()},
		{"openssl+zstd", sealOpenSSL(b, zstded(b, plain)), passKey()},
	}
}

// BenchmarkOpen measures decryption and decompression alone.
func BenchmarkOpen(b *testing.B) {
	p := mixed()
	for _, f := range formats(b, p.plain) {
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(int64(len(p.plain)))
			b.ReportAllocs()
			for b.Loop() {
				in, err := bundle.Open(b.Context(), bytes.NewReader(f.raw), f.key)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, in); err != nil {
					b.Fatal(err)
				}
				in.Close()
			}
		})
	}
}

// BenchmarkUnpack measures all of it, with what the same files cost written by
// a bare loop as the floor.
func BenchmarkUnpack(b *testing.B) {
	for _, p := range []*payload{manySmallFiles(), mixed()} {
		all := formats(b, p.plain)
		for _, f := range []format{all[0], all[4], all[5]} {
			b.Run(p.name+"/"+f.name, func(b *testing.B) { benchUnpack(b, p, f) })
		}
		b.Run(p.name+"/floor", func(b *testing.B) { benchFloor(b, p) })
	}
}

func benchUnpack(b *testing.B, p *payload, f format) {
	dir := fast(b)
	b.SetBytes(int64(len(p.plain)))
	b.ReportAllocs()
	for b.Loop() {
		in, err := bundle.Open(b.Context(), bytes.NewReader(f.raw), f.key)
		if err != nil {
			b.Fatal(err)
		}
		dest := filepath.Join(dir, "bundle")
		if _, err := bundle.Unpack(b.Context(), in, dest, bundle.Limits{}); err != nil {
			b.Fatal(err)
		}
		in.Close()
		b.StopTimer()
		_ = os.RemoveAll(dest)
		b.StartTimer()
	}
}

func benchFloor(b *testing.B, p *payload) {
	dir := fast(b)
	b.SetBytes(int64(len(p.plain)))
	for b.Loop() {
		at := 0
		for i, size := range p.files {
			folder := filepath.Join(dir, "b", fmt.Sprintf("d%03d", i/100))
			if i%100 == 0 {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					b.Fatal(err)
				}
			}
			if at+size > len(p.plain) {
				at = 0
			}
			if err := os.WriteFile(fmt.Sprintf("%s/f%05d", folder, i), p.plain[at:at+size], 0o644); err != nil {
				b.Fatal(err)
			}
			at += size
		}
		b.StopTimer()
		_ = os.RemoveAll(filepath.Join(dir, "b"))
		b.StartTimer()
	}
}

func BenchmarkSeal(b *testing.B) {
	p := mixed()
	for name, sealer := range map[string]func(io.Writer) (io.WriteCloser, error){
		"age+zstd":    func(w io.Writer) (io.WriteCloser, error) { return bundle.Seal(w, identity().Recipient()) },
		"openssl+tar": func(w io.Writer) (io.WriteCloser, error) { return bundle.SealOpenSSL(w, secret.New(passphrase)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p.plain)))
			for b.Loop() {
				w, err := sealer(io.Discard)
				finish(b, w, p.plain, err)
			}
		})
	}
}

// stream makes a bundle of n files of a MiB as it is read, so that only the
// reader's memory counts.
func stream(t testing.TB, n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		sealed, err := bundle.Seal(w, identity().Recipient())
		if err == nil {
			out := tar.NewWriter(sealed)
			body := []byte(noise(1<<19) + strings.Repeat("x", 1<<19))
			for _, e := range good() {
				_ = out.WriteHeader(&e.Header)
				_, _ = io.WriteString(out, e.body)
			}
			for i := range n {
				_ = out.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Mode: 0o644, Size: 1 << 20, Typeflag: tar.TypeReg})
				_, _ = out.Write(body)
			}
			err = errors.Join(out.Close(), sealed.Close())
		}
		_ = w.CloseWithError(err)
	}()
	t.Cleanup(func() { _ = r.Close() })
	return r
}
