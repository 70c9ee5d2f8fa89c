package bundle_test

import (
	"bytes"
	"testing"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
)

// small keeps a fuzzer from filling the disk with what it finds.
var small = bundle.Limits{Bytes: 1 << 20, Files: 200}

// nothingElse fails unless the folder is untouched, or holds one whole bundle.
func nothingElse(t *testing.T, r *room, err error) {
	t.Helper()
	if err == nil {
		after := snapshot(t, r.parent)
		for name, what := range r.before {
			if after[name] != what {
				t.Fatalf("%s is %q and was %q", name, after[name], what)
			}
		}
		if _, err := bundle.Load(t.Context(), r.dest); err != nil {
			t.Fatalf("what was unpacked cannot be loaded: %v", err)
		}
		return
	}
	r.untouched()
}

func FuzzOpen(f *testing.F) {
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		f.Fatal(err)
	}
	to.SetWorkFactor(1)
	id, err := age.ParseX25519Identity("AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU")
	if err != nil {
		f.Fatal(err)
	}
	plain := tarOf(f, good()...)
	for _, raw := range [][]byte{
		plain, gzipped(f, plain), zstded(f, plain), append(xzEmpty(), xzHeader(1)...),
		seal(f, plain, id.Recipient()), encrypt(f, plain, id.Recipient()), seal(f, plain, to),
		sealOpenSSL(f, plain), sealOpenSSL(f, gzipped(f, plain)),
	} {
		f.Add(raw, false)
		f.Add(raw, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, isPassphrase bool) {
		key := bundle.Key{Secret: secret.New(id.String())}
		if isPassphrase {
			if bytes.Contains(raw, []byte("-> scrypt ")) && !bytes.Contains(raw, []byte(" 1\n")) {
				t.Skip("a fuzzer that pays for scrypt finds nothing else")
			}
			key = passKey()
		}
		for _, k := range []bundle.Key{key, {}} {
			r := newRoom(t)
			_, err := r.unpack(bytes.NewReader(raw), k, small)
			nothingElse(t, r, err)
		}
	})
}

func FuzzUnpackTar(f *testing.F) {
	f.Add(tarOf(f, good()...))
	f.Add(tarOf(f, with(symlink("l", top+"m"), hardlink("h", top+"m/start"), folder("d"))...))
	f.Add(tarOf(f, program("m/start", "#!"), file("lib.sh", "")))
	f.Add(paxHeader(f)[:2048])
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := newRoom(t)
		_, err := r.unpack(bytes.NewReader(raw), bundle.Key{}, small)
		nothingElse(t, r, err)
	})
}

// FuzzXz looks for panics, and for bytes that open here and are another file
// than the library's own reader makes of them.
func FuzzXz(f *testing.F) {
	f.Add(xzEmpty())
	f.Add(xzHeader(1))
	if raw := xzIfThere(f, tarOf(f, good()...)); raw != nil {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { compareXz(t, raw) })
}

func FuzzOpenSSL(f *testing.F) {
	plain := tarOf(f, good()...)
	for _, raw := range [][]byte{plain, gzipped(f, plain), zstded(f, plain), []byte("short")} {
		f.Add(sealOpenSSL(f, raw), passphrase, 0)
		f.Add(sealOpenSSL(f, raw), "wrong", 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, pass string, iterations int) {
		if iterations > 20_000 {
			t.Skip("slow by design")
		}
		raw = append([]byte("Salted__"), bytes.TrimPrefix(raw, []byte("Salted__"))...)
		r := newRoom(t)
		_, err := r.unpack(bytes.NewReader(raw), bundle.Key{Secret: secret.New(pass), Iterations: iterations}, small)
		nothingElse(t, r, err)
	})
}

func FuzzParseManifest(f *testing.F) {
	for _, text := range []string{
		smallManifest, `{"format_version":2}`, `null`, `[]`, `{"format_version":1,"modules":[{"name":"m","dir":"..","env":{"A":"\u0000"}}]}`,
		`{"format_version":1,"on_failure":"stop","modules":[{"name":"m","dir":"1-m","run":"once","timeout":"1h","env":{"OPT_A":"b"},"secret":["OPT_A"],"digest":"sha256:00"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := bundle.ParseManifest(text)
		if err != nil {
			return
		}
		for _, mod := range m.Modules {
			if dir := mod.Folder(); dir == "" || dir[0] == '.' || bytes.ContainsAny([]byte(dir), "/\x00") {
				t.Errorf("module %q lies in %q", mod.Name, dir)
			}
		}
		if again, err := bundle.ParseManifest(text); err != nil || !cmp.Equal(m, again) {
			t.Errorf("read twice: %v", err)
		}
	})
}
