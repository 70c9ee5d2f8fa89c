package bundle_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
)

// byHand makes a start-up-bundle folder as somebody without a packer would.
func byHand(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, bundle.Top, "10-web", "start"), "#!/bin/sh\necho web\n")
	write(t, filepath.Join(dir, bundle.Top, "20-db", "start.sh"), "echo db\n")
	write(t, filepath.Join(dir, bundle.Top, "20-db", "big"), noise(200<<10))
	write(t, filepath.Join(dir, bundle.Top, "notes", "README"), "not a module\n")
	write(t, filepath.Join(dir, bundle.Top, "lib.sh"), "hello() { echo hello; }\n")
	return dir
}

func names(c *bundle.Contents) []string {
	var got []string
	for _, m := range c.Manifest.Modules {
		got = append(got, m.Name)
	}
	return got
}

func checkByHand(t *testing.T, r *room, raw []byte, key bundle.Key, want bundle.Kind) {
	t.Helper()
	in, err := bundle.Open(t.Context(), bytes.NewReader(raw), key)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c, err := bundle.Unpack(t.Context(), in, r.dest, bundle.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if in.Kind() != want {
		t.Errorf("kind %+v, want %+v", in.Kind(), want)
	}
	if diff := cmp.Diff([]string{"10-web", "20-db"}, names(c)); diff != "" || !c.ByHand || !cmp.Equal(c.Ignored, []string{"notes"}) {
		t.Errorf("modules (-want +got):\n%s, ignored %v", diff, c.Ignored)
	}
	big, err := os.ReadFile(filepath.Join(c.ModuleDir(c.Manifest.Modules[1]), "big"))
	if err != nil || string(big) != noise(200<<10) {
		t.Errorf("the big file is not what it was: %v", err)
	}
	if c.Lib() == "" {
		t.Error("lib.sh is not found")
	}
	for i, want := range []string{"web\n", "db\n"} {
		program, args := c.Command(c.Manifest.Modules[i])
		cmd := exec.Command(program, args...)
		cmd.Dir = c.ModuleDir(c.Manifest.Modules[i])
		if out, err := cmd.Output(); string(out) != want || err != nil {
			t.Errorf("%s %v: %q, %v", program, args, out, err)
		}
	}
}

func TestBundlesMadeByOpenSSL(t *testing.T) {
	need(t, "tar", "openssl")
	dir := byHand(t)
	for _, d := range []struct {
		name       string
		args       []string
		derivation string
		iterations int
	}{
		{"default", nil, "sha256", 0},
		{"sha256", []string{"-md", "sha256"}, "sha256", 0},
		{"md5, before 1.1.0", []string{"-md", "md5"}, "md5", 0},
		{"pbkdf2", []string{"-pbkdf2"}, "pbkdf2", 0},
		{"pbkdf2 named", []string{"-pbkdf2"}, "pbkdf2", 10_000},
		{"pbkdf2, another count", []string{"-pbkdf2", "-iter", "12345"}, "pbkdf2", 12345},
	} {
		for _, c := range []struct {
			compression bundle.Compression
			tool        string
		}{{bundle.Tar, ""}, {bundle.Gzip, "gzip"}, {bundle.Zstd, "zstd"}, {bundle.Xz, "xz"}} {
			t.Run(d.name+" "+string(c.compression), func(t *testing.T) {
				for _, what := range [][]string{{"-C", dir, bundle.Top}, {"-C", filepath.Join(dir, bundle.Top), "."}} {
					plain := tool(t, nil, "tar", append([]string{"c"}, what...)...)
					if c.tool != "" {
						plain = tool(t, plain, c.tool, "-c")
					}
					raw := tool(t, plain, "openssl", append([]string{"enc", "-aes-256-cbc", "-k", passphrase}, d.args...)...)
					key := bundle.Key{Secret: secret.New(passphrase), Iterations: d.iterations}
					checkByHand(t, newRoom(t), raw, key, bundle.Kind{Encryption: bundle.OpenSSL, Compression: c.compression, Derivation: d.derivation})
				}
			})
		}
	}
}

func TestTheRecipeOpensOurOpenSSLBundles(t *testing.T) {
	need(t, "tar", "openssl")
	var b bytes.Buffer
	w, err := bundle.SealOpenSSL(&b, secret.New(passphrase))
	if err == nil {
		_, err = sample(t, "").Write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	plain := tool(t, b.Bytes(), "openssl", "enc", "-d", "-aes-256-cbc", "-k", passphrase)
	dir := t.TempDir()
	tool(t, plain, "tar", "x", "-C", dir)
	if out := tool(t, nil, filepath.Join(dir, bundle.Top, "web", "start")); string(out) != "web\n" {
		t.Errorf("start printed %q", out)
	}
	env := filepath.Join(dir, bundle.Top, bundle.EnvFolder, "web")
	if out := tool(t, nil, "sh", "-c", `. "$0"; printf %s "$OPT_MOTD"`, env); string(out) != "it's $HOME\n`x`" {
		t.Errorf("the shell reads the option as %q", out)
	}
}

func TestBundlesMadeByTar(t *testing.T) {
	need(t, "tar", "gzip", "xz", "zstd")
	dir := byHand(t)
	for name, args := range map[string][]string{
		"v7": {"--format=v7"}, "ustar": {"--format=ustar"}, "oldgnu": {"--format=oldgnu"},
		"gnu": {"--format=gnu"}, "pax": {"--format=posix"}, "blocks of 1 MiB": {"-b", "1024"},
		"dots": {"--transform=s,^,./,"}, "verbose owner": {"--owner=somebody:4711"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := tool(t, nil, "tar", append(args, "-c", "-C", dir, bundle.Top)...)
			checkByHand(t, newRoom(t), raw, bundle.Key{}, bundle.Kind{Encryption: bundle.Plain, Compression: bundle.Tar})
		})
	}
	plain := tool(t, nil, "tar", "c", "-C", dir, bundle.Top)
	for name, args := range map[string][]string{
		"xz -0": {"xz", "-0"}, "xz -9": {"xz", "-9"}, "xz many blocks": {"xz", "--block-size=65536"}, "xz threads": {"xz", "-T2", "--block-size=100000"},
		"xz no check": {"xz", "--check=none"}, "xz crc32": {"xz", "--check=crc32"}, "xz sha256": {"xz", "--check=sha256"},
		"zstd -1": {"zstd", "-1"}, "zstd -19": {"zstd", "-19"}, "zstd no check": {"zstd", "--no-check"}, "zstd threads": {"zstd", "-T2"}, "zstd fast": {"zstd", "--fast=5"},
		"gzip -1": {"gzip", "-1"}, "gzip -9": {"gzip", "-9"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := tool(t, plain, args[0], append(args[1:], "-c")...)
			how := bundle.Compression(args[0])
			checkByHand(t, newRoom(t), raw, bundle.Key{}, bundle.Kind{Encryption: bundle.Plain, Compression: how})
			if how != bundle.Xz {
				return
			}
			twice := append(tool(t, plain[:1000], "xz", "-c"), make([]byte, 8)...)
			raw = append(twice, tool(t, plain[1000:], args[0], append(args[1:], "-c")...)...)
			checkByHand(t, newRoom(t), raw, bundle.Key{}, bundle.Kind{Encryption: bundle.Plain, Compression: how})
		})
	}
	t.Run("zstd --long", func(t *testing.T) {
		r := newRoom(t)
		raw := tool(t, plain, "zstd", "--long=27", "-c")
		if _, err := r.unpack(bytes.NewReader(raw), bundle.Key{}, bundle.Limits{}); !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), "--long") {
			t.Errorf("error %v", err)
		}
		r.untouched()
	})
}

func TestEveryFlippedByteOfAnXzIsRefusedOrHarmless(t *testing.T) {
	plain := tarOf(t, good()...)
	raw := xzIfThere(t, plain)
	if raw == nil {
		t.Skip("xz is not installed")
	}
	r := newRoom(t)
	for i := range raw {
		flipped := bytes.Clone(raw)
		flipped[i] ^= 1 << (i % 8)
		switch _, err := r.unpack(bytes.NewReader(flipped), bundle.Key{}, bundle.Limits{}); {
		case err == nil: // LZMA2 has a redundant bit or two; the check vouches for the content
			if got := snapshot(t, r.dest)[top+"m/start"]; got != "-rwxr-xr-x #!/bin/sh\n" {
				t.Fatalf("byte %d: another content goes through: %s", i, got)
			}
			_ = os.RemoveAll(r.dest)
		case !anyOf(err, bundle.ErrDamaged, bundle.ErrFormat, bundle.ErrUnsafe):
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := r.unpack(bytes.NewReader(raw[:i]), bundle.Key{}, bundle.Limits{}); !anyOf(err, bundle.ErrDamaged, bundle.ErrFormat) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
	r.untouched()
}

func TestSparseFilesOfGNUTarAreRefused(t *testing.T) {
	need(t, "tar")
	dir := byHand(t)
	hole := filepath.Join(dir, bundle.Top, "10-web", "hole")
	write(t, hole, "x")
	if err := os.Truncate(hole, 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--format=gnu"}, {"--format=posix", "--sparse-version=0.0"}, {"--format=posix", "--sparse-version=0.1"}, {"--format=posix", "--sparse-version=1.0"}} {
		r := newRoom(t)
		raw := tool(t, nil, "tar", append(args, "-S", "-c", "-C", dir, bundle.Top)...)
		if _, err := r.unpack(bytes.NewReader(raw), bundle.Key{}, bundle.Limits{}); !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), "sparse") {
			t.Errorf("%v: error %v", args, err)
		}
		r.untouched()
	}
}

func TestBundlesMadeByAge(t *testing.T) {
	need(t, "age", "tar", "zstd")
	dir := byHand(t)
	plain := tool(t, nil, "tar", "c", "-C", dir, bundle.Top)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]struct{ recipient, identity string }{
		"X25519": {identity().Recipient().String(), identity().String()},
		"hybrid": {hybrid.Recipient().String(), hybrid.String()},
	} {
		key := bundle.Key{Secret: secret.New(id.identity)}
		raw := tool(t, tool(t, plain, "zstd", "-c"), "age", "-r", id.recipient)
		checkByHand(t, newRoom(t), raw, key, bundle.Kind{Encryption: bundle.AgeRecipient, Compression: bundle.Zstd})
		raw = tool(t, plain, "age", "-r", id.recipient, "-r", id.recipient)
		checkByHand(t, newRoom(t), raw, key, bundle.Kind{Encryption: bundle.AgeRecipient, Compression: bundle.Tar})
		t.Logf("%s: opened", name)
	}
	// "age -p" asks a terminal for the passphrase; this is the file it makes.
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(18)
	checkByHand(t, newRoom(t), encrypt(t, zstded(t, plain), to), passKey(), bundle.Kind{Encryption: bundle.AgePassphrase, Compression: bundle.Zstd})

	armored := tool(t, plain, "age", "-a", "-r", identity().Recipient().String())
	if _, err := bundle.Open(t.Context(), bytes.NewReader(armored), identityKey()); !errors.Is(err, bundle.ErrFormat) || !strings.Contains(err.Error(), "armor") {
		t.Errorf("armor: %v", err)
	}
}

func TestStockToolsOpenOurBundles(t *testing.T) {
	need(t, "age", "zstd", "tar")
	sealed, _ := sealSample(t, sample(t, ""), identity().Recipient())
	keyFile := filepath.Join(t.TempDir(), "key")
	write(t, keyFile, identity().String()+"\n")
	dir := t.TempDir()
	tool(t, tool(t, tool(t, sealed, "age", "-d", "-i", keyFile), "zstd", "-d"), "tar", "x", "-C", dir)
	c, err := bundle.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if out := tool(t, nil, filepath.Join(dir, bundle.Top, "web", "start")); string(out) != "web\n" {
		t.Errorf("start printed %q", out)
	}
}
