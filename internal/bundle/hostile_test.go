package bundle_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"testing"

	"startup-bundle/internal/bundle"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const top = bundle.Top + "/"

// typed is an entry of any type, as archive/tar's Writer would not make it.
func typed(name string, kind byte) entry {
	return entry{Header: tar.Header{Name: name, Mode: 0o644, Typeflag: kind}}
}

func with(more ...entry) []entry { return append(good(), more...) }

func mode(e entry, m int64) entry {
	e.Mode = m
	return e
}

// A hostile archive must leave nothing behind, say which attack it is, and be
// told apart from damage and a wrong key.
func TestHostileArchives(t *testing.T) {
	long := strings.Repeat("n", 250)
	for _, tt := range []struct {
		name    string
		entries []entry
		want    error
		text    string
	}{
		{"absolute name", with(file("/etc/cron.d/x", "x")), bundle.ErrUnsafe, "absolute"},
		{"absolute folder", with(folder("/etc/cron.d")), bundle.ErrUnsafe, "absolute"},
		{"climbing name", with(file("../canary", "x")), bundle.ErrUnsafe, "climbs"},
		{"climbing from the middle", with(file(top+"m/../../../canary", "x")), bundle.ErrUnsafe, "climbs"},
		{"climbing and coming back", with(file(top+"../x", "x")), bundle.ErrUnsafe, "climbs"},
		{"climbing at the end", with(folder(top + "m/..")), bundle.ErrUnsafe, "climbs"},
		{"climbing after dots", with(file("./.././canary", "x")), bundle.ErrUnsafe, "climbs"},
		{"climbing through doubled slashes", with(file("x//..//..//canary", "x")), bundle.ErrUnsafe, "climbs"},
		{"file without a name", with(file(".", "x")), bundle.ErrUnsafe, "no name"},
		{"link to an absolute path", with(symlink(top+"m/l", "/etc/passwd")), bundle.ErrUnsafe, "absolute"},
		{"link that climbs out", with(symlink(top+"m/l", "../../../canary")), bundle.ErrUnsafe, "out of its folder"},
		{"link that climbs just to the parent", with(symlink("l", "..")), bundle.ErrUnsafe, "out of its folder"},
		{"link to nothing", with(symlink(top+"m/l", "")), bundle.ErrUnsafe, "points nowhere"},
		{"link by an odd way out", with(symlink(top+"m/l", "./../m/../../../canary")), bundle.ErrUnsafe, "out of its folder"},
		{"link with a control character", with(symlink(top+"m/l", "a\x1b[2J")), bundle.ErrUnsafe, "control characters"},
		{
			"chain of links that climbs", with(folder("a"), folder("a/b"), folder("a/b/c"), symlink("a/b/c/up", "../../.."),
				symlink("a/b/c/out", "up/../../../canary")), bundle.ErrUnsafe, "leads out",
		},
		{
			"long chain of links that climbs", with(folder("a/b/c/d"), symlink("a/b/c/d/1", ".."), symlink("a/b/c/d/2", "1/.."),
				symlink("a/b/c/d/3", "2/.."), symlink("a/b/c/d/4", "3/../../canary")), bundle.ErrUnsafe, "leads out",
		},
		{"links in a circle", with(symlink("x", "y"), symlink("y", "x")), bundle.ErrUnsafe, "circle"},
		{"link to itself", with(symlink("x", "x")), bundle.ErrUnsafe, "circle"},
		{"writing through a planted link", with(symlink("d", "in"), file("d/x", "x")), bundle.ErrUnsafe, "there twice"},
		{"writing through a link planted above", with(symlink(top+"m/d", "."), file(top+"m/d/start", "x")), bundle.ErrUnsafe, "there twice"},
		{"a link through a planted link", with(symlink("d", top+"m"), symlink("d/x", "y")), bundle.ErrUnsafe, "there twice"},
		{"a hard link through a planted link", with(symlink("d", top+"m"), hardlink("d/x", top+"m/start")), bundle.ErrUnsafe, "there twice"},
		{"a link over the stage itself", with(symlink(".", "x")), bundle.ErrUnsafe, "there twice"},
		{"hard link to an absolute path", with(hardlink("x", "/etc/shadow")), bundle.ErrUnsafe, "absolute"},
		{"hard link that climbs", with(hardlink("x", "../canary")), bundle.ErrUnsafe, "climbs"},
		{"hard link to what is not there", with(hardlink("x", "y")), bundle.ErrUnsafe, "not a file of the archive"},
		{"hard link to a folder", with(hardlink("x", top+"m")), bundle.ErrUnsafe, "not a file of the archive"},
		{"hard link to a symbolic link", with(symlink("l", top+"m/start"), hardlink("x", "l")), bundle.ErrUnsafe, "not a file of the archive"},
		{"hard link to itself", with(hardlink("x", "x")), bundle.ErrUnsafe, "not a file of the archive"},
		{"hard link over a file", with(file("x", ""), hardlink("x", top+"m/start")), bundle.ErrUnsafe, "there twice"},
		{"file as folder", with(file("f", "x"), file("f/x", "x")), bundle.ErrUnsafe, "\"f"},
		{"folder as file", with(folder("f"), file("f", "x")), bundle.ErrUnsafe, "there twice"},
		{"file under the module's start", with(file(top+"m/start/x", "x")), bundle.ErrUnsafe, "start"},
		{"character device", with(typed("tty", tar.TypeChar)), bundle.ErrUnsafe, "device"},
		{"block device", with(typed("sda", tar.TypeBlock)), bundle.ErrUnsafe, "device"},
		{"named pipe", with(typed("fifo", tar.TypeFifo)), bundle.ErrUnsafe, "named pipe"},
		{"setuid", with(mode(file("su", "x"), 0o4755)), bundle.ErrUnsafe, "setuid"},
		{"setgid", with(mode(file("sg", "x"), 0o2755)), bundle.ErrUnsafe, "setgid"},
		{"sticky", with(mode(file("st", "x"), 0o1755)), bundle.ErrUnsafe, "sticky"},
		{"contiguous file", with(typed("cont", tar.TypeCont)), bundle.ErrUnsafe, "unknown type"},
		{"unknown type", with(typed("u", 'Z')), bundle.ErrUnsafe, "unknown type"},
		{"duplicate file", with(file("f", "1"), file("f", "2")), bundle.ErrUnsafe, "there twice"},
		{"duplicate start", with(program(top+"m/start", "#!/bin/sh\nevil")), bundle.ErrUnsafe, "there twice"},
		{"duplicate by another spelling", with(program("./"+top+"/m/./start", "evil")), bundle.ErrUnsafe, "there twice"},
		{"duplicate manifest", with(manifestFile(smallManifest)), bundle.ErrUnsafe, "there twice"},
		{"duplicate folder", with(folder(top + "m")), bundle.ErrUnsafe, "there twice"},
		{"duplicate link", with(symlink("l", "a"), symlink("l", "b")), bundle.ErrUnsafe, "there twice"},
		{"duplicate hard link", with(hardlink("l", top+"m/start"), hardlink("l", top+"m/start")), bundle.ErrUnsafe, "there twice"},
		{"link over a file", with(file("l", ""), symlink("l", "b")), bundle.ErrUnsafe, "there twice"},
		{"huge name", with(file(strings.Repeat(long+"/", 5)+"x", "")), bundle.ErrUnsafe, "longer than"},
		{"huge part of a name", with(file(long+"123456", "")), bundle.ErrUnsafe, "longer than 255"},
		{"huge depth", with(file(strings.Repeat("d/", 64)+"x", "")), bundle.ErrUnsafe, "folders deep"},
		{"huge target", with(symlink("l", strings.Repeat("x/../", 300)+"y")), bundle.ErrUnsafe, "folders deep"},
		{"huge target in one part", with(symlink("l", strings.Repeat("x", 2000))), bundle.ErrUnsafe, "longer than"},
		{"line feed in a name", with(file("a\nb", "")), bundle.ErrUnsafe, "control characters"},
		{"escape sequence in a name", with(file("a\x1b[31m", "")), bundle.ErrUnsafe, "control characters"},
		{"C1 control in a name", with(file("a\u009b31m", "")), bundle.ErrUnsafe, "control characters"},
		{"name that is not UTF-8", with(file("a\xff", "")), bundle.ErrUnsafe, "not UTF-8"},
		{"no entry", nil, bundle.ErrFormat, "empty"},
		{"folders only", []entry{folder(top + "m")}, bundle.ErrFormat, "no module"},
		{"zero-length everything", []entry{file(top+"bundle.json", ""), folder(top + "m"), file(top+"m/start", "")}, bundle.ErrFormat, "not valid JSON"},
		{"manifest from the future", append([]entry{manifestFile(`{"format_version":2}`)}, good()[1:]...), bundle.ErrFormat, "format version is 2"},
		{"manifest without a version", append([]entry{manifestFile(`{}`)}, good()[1:]...), bundle.ErrFormat, "format version is 0"},
		{"manifest that is too large", append([]entry{manifestFile(`{"format_version":1,"name":"` + strings.Repeat("x", bundle.MaxManifest) + `"}`)}, good()[1:]...), bundle.ErrFormat, "is not a file, or is larger than"},
		{"manifest that names no module", append([]entry{manifestFile(`{"format_version":1}`)}, good()[1:]...), bundle.ErrFormat, "no module"},
		{"manifest with a missing module", append([]entry{manifestFile(`{"format_version":1,"modules":[{"name":"gone"}]}`)}, good()[1:]...), bundle.ErrFormat, "gone/start is not a file"},
		{"manifest that climbs", append([]entry{manifestFile(`{"format_version":1,"modules":[{"name":"m","dir":"../../in"}]}`)}, good()[1:]...), bundle.ErrFormat, "not a folder name"},
		{"manifest with an absolute folder", append([]entry{manifestFile(`{"format_version":1,"modules":[{"name":"m","dir":"/etc"}]}`)}, good()[1:]...), bundle.ErrFormat, "not a folder name"},
		{"manifest with a climbing module name", append([]entry{manifestFile(`{"format_version":1,"modules":[{"name":"../x"}]}`)}, good()[1:]...), bundle.ErrFormat, "module name"},
		{"manifest as a link", append([]entry{symlink(top+"bundle.json", "other"), file(top+"other", smallManifest)}, good()[1:]...), bundle.ErrFormat, "is not a file, or is larger than"},
		{"manifest as a folder", append([]entry{folder(top + "bundle.json")}, good()[1:]...), bundle.ErrFormat, "is not a file, or is larger than"},
		{"start as a folder", []entry{manifestFile(smallManifest), folder(top + "m/start")}, bundle.ErrFormat, "is not a file"},
		{"case twins among modules", []entry{program(top+"web/start", "#!"), program(top+"Web/start", "#!")}, bundle.ErrUnsafe, "capital letters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			_, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, tt.entries...))), identityKey(), bundle.Limits{})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %q with %q", err, tt.want, tt.text)
			}
			r.untouched()
		})
	}
}

func TestLimits(t *testing.T) {
	many := good()
	for i := range 50 {
		many = append(many, file(fmt.Sprintf("f%d", i), "0123456789"))
	}
	deep := with(file(strings.Repeat("d/", 60)+"x", ""))
	for _, tt := range []struct {
		name    string
		entries []entry
		limits  bundle.Limits
		text    string
	}{
		{"bytes in many files", many, bundle.Limits{Bytes: 400}, "more than 400 bytes"},
		{"bytes in one file", with(file("f", strings.Repeat("x", 300<<10))), bundle.Limits{Bytes: 200 << 10}, "more than 204800 bytes"},
		{"files", many, bundle.Limits{Files: 30}, "more than 30 files"},
		{"folders that no entry names", append(deep, file("last", "")), bundle.Limits{Files: 30}, "more than 30 files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t)
			_, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, tt.entries...))), identityKey(), tt.limits)
			if !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want ErrUnsafe with %q", err, tt.text)
			}
			r.untouched()
		})
	}
	if _, err := newRoom(t).unpack(bytes.NewReader(seal(t, tarOf(t, many...))), identityKey(), bundle.Limits{Files: 54, Bytes: 1000}); err != nil {
		t.Errorf("just within the limits: %v", err)
	}
}

// bomb writes size bytes of tar that are nearly all zeros, without holding them.
func bomb(t testing.TB, w io.WriteCloser, size int64, files int) {
	t.Helper()
	out := tar.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for i := range files {
		each := size / int64(files)
		if err := out.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Mode: 0o644, Size: each, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		for each > 0 {
			n, err := out.Write(zeros[:min(each, int64(len(zeros)))])
			if err != nil {
				t.Fatal(err)
			}
			each -= int64(n)
		}
	}
	if err := errors.Join(out.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestCompressionBombs(t *testing.T) {
	const size = 200 << 20
	zw := func(b *bytes.Buffer) io.WriteCloser {
		w, err := zstd.NewWriter(b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, fill := range map[string]func(*bytes.Buffer){
		"one file in zstd":   func(b *bytes.Buffer) { bomb(t, zw(b), size, 1) },
		"many files in zstd": func(b *bytes.Buffer) { bomb(t, zw(b), size, 3_000) },
		"one file in gzip":   func(b *bytes.Buffer) { bomb(t, gzip.NewWriter(b), size, 1) },
		"headers only": func(b *bytes.Buffer) {
			w := zw(b)
			header := paxHeader(t)
			for range size / len(header) {
				if _, err := w.Write(header); err != nil {
					t.Fatal(err)
				}
			}
			finish(t, w, tarOf(t, good()...), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			fill(&b)
			t.Logf("%d bytes unpack to %d", b.Len(), size)
			r := newRoom(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := r.unpack(&b, bundle.Key{}, bundle.Limits{})
			if !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), "times its size") {
				t.Errorf("error %v", err)
			}
			if runtime.ReadMemStats(&after); after.Sys-before.Sys > 64<<20 {
				t.Errorf("%d MiB were taken from the system", (after.Sys-before.Sys)>>20)
			}
			r.untouched()
		})
	}
	t.Run("one file in xz", func(t *testing.T) {
		xz := xzIfThere(t, tarOf(t, file("zeros", strings.Repeat("\x00", 200<<20))))
		if xz == nil {
			t.Skip("xz is not installed")
		}
		r := newRoom(t)
		if _, err := r.unpack(bytes.NewReader(xz), bundle.Key{}, bundle.Limits{Ratio: 50}); !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), "times its size") {
			t.Errorf("error %v", err)
		}
		r.untouched()
	})
}

// paxHeader is an extended header of 512 KiB, which archive/tar reads through
// by itself when another follows.
func paxHeader(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"T.x": strings.Repeat("x", 512<<10)}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:b.Len()-512]
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestHugeWindowsAndDictionariesAreRefusedWithoutAllocatingThem(t *testing.T) {
	plain := tarOf(t, with(file("noise", noise(3<<20)))...)
	// Frame header: magic, descriptor with neither size nor checksum, window 2^31.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0}
	for name, tt := range map[string]struct {
		raw  []byte
		text string
	}{
		"zstd window of 16 MiB":       {zstded(t, plain, zstd.WithWindowSize(16<<20)), "zstd window"},
		"zstd window of 2 GiB":        {window, "zstd window"},
		"xz dictionary of 4 GiB":      {xzHeader(40), "xz dictionary"},
		"xz dictionary of 96 MiB":     {xzHeader(29), "xz dictionary"},
		"same, in a second xz stream": {append(xzEmpty(), xzHeader(40)...), "xz dictionary"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			before := allocated()
			_, err := r.unpack(bytes.NewReader(tt.raw), bundle.Key{}, bundle.Limits{})
			if !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v", err)
			}
			if used := allocated() - before; used > 64<<20 {
				t.Errorf("%d MiB were allocated on the way", used>>20)
			}
			r.untouched()
		})
	}
}

func xzStreamHeader() []byte {
	head := []byte("\xfd7zXZ\x00\x00\x00")
	return binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(head[6:]))
}

// xzHeader is the start of an xz file whose first block asks for a dictionary
// of the coded size.
func xzHeader(dictionary byte) []byte {
	block := []byte{2, 0, 0x21, 1, dictionary, 0, 0, 0}
	return append(xzStreamHeader(), binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(block))...)
}

// xzEmpty is a whole xz stream without a block.
func xzEmpty() []byte {
	index := make([]byte, 4)
	out := append(xzStreamHeader(), binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))...)
	foot := make([]byte, 6)
	binary.LittleEndian.PutUint32(foot, 8/4-1)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(foot))
	return append(append(out, foot...), "YZ"...)
}

func TestOddButHarmlessArchives(t *testing.T) {
	for name, entries := range map[string][]entry{
		"a link inside":                     with(symlink(top+"m/l", "start")),
		"a link up and inside":              with(folder("x"), symlink("x/l", "../"+top+"m/start")),
		"a link to a folder":                with(symlink(top+"other", "m")),
		"a link to nothing that is there":   with(symlink(top+"m/l", "later")),
		"a hard link":                       with(hardlink(top+"m/again", top+"m/start")),
		"a hard link to a hard link":        with(hardlink("a", top+"m/start"), hardlink("b", "a")),
		"links whose folders nobody named":  with(symlink("p/q/l", "x"), hardlink("r/s/h", top+"m/start")),
		"empty files and folders":           with(file("f", ""), folder("d")),
		"case twins among files":            with(file(top+"m/README", ""), file(top+"m/readme", "")),
		"a folder named after its files":    {program(top+"m/start", "#!"), folder(top + "m"), manifestFile(smallManifest)},
		"a dot entry":                       with(folder(".")),
		"a global header":                   with(entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x"}}}),
		"a name of 200 bytes":               with(file(strings.Repeat("n", 200), "")),
		"words of any language":             with(file(top+"m/größe", "")),
		"a start that is a link to a file":  {manifestFile(smallManifest), program(top+"m/run.sh", "#!/bin/sh\n"), symlink(top+"m/start", "run.sh")},
		"a name with two dots in it":        with(file(top+"m/a..b", "")),
		"setgid folders, as servers do it":  with(mode(folder(top+"m/d"), 0o2755)),
		"a manifest of a later minor":       {manifestFile(`{"format_version":1,"later":{"x":1},"modules":[{"name":"m","later":1}]}`), good()[1], good()[2]},
		"without a top folder":              {file("bundle.json", smallManifest), program("m/start", "#!")},
		"dots in front of every name":       {file("./"+top+"bundle.json", smallManifest), program("./"+top+"m/start", "#!")},
		"a module with a folder of its own": {manifestFile(`{"format_version":1,"modules":[{"name":"data","dir":"1-volume"}]}`), program(top+"1-volume/start", "#!")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			c, err := r.unpack(bytes.NewReader(seal(t, tarOf(t, entries...))), identityKey(), bundle.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for path, what := range snapshot(t, r.dest) {
				if path != "." && !strings.HasPrefix(what, "drwxr-xr-x") && !strings.HasPrefix(what, "-rwxr-xr-x") &&
					!strings.HasPrefix(what, "-rw-r--r--") && !strings.HasPrefix(what, "L") {
					t.Errorf("%s: %s", path, what)
				}
			}
			if len(c.Manifest.Modules) != 1 {
				t.Errorf("modules %+v", c.Manifest.Modules)
			}
		})
	}
}
