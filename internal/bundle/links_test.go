package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"startup-bundle/internal/bundle"
)

// tree is a module's folders and links, by names relative to it.
type tree struct {
	folders []string
	links   map[string]string
}

// randomTree makes folders, and links whose targets are made of the same few names,
// so that they meet each other.
func randomTree(r *rand.Rand) tree {
	t := tree{links: map[string]string{}}
	names := []string{"a", "b", "c", "d"}
	for range 2 + r.IntN(4) {
		at := ""
		for range 1 + r.IntN(3) {
			at = path.Join(at, names[r.IntN(2)])
			t.folders = append(t.folders, at)
		}
	}
	for range 1 + r.IntN(6) {
		at := path.Join(append([]string{"."}, names[2+r.IntN(2)])...)
		if len(t.folders) > 0 && r.IntN(4) > 0 {
			at = path.Join(t.folders[r.IntN(len(t.folders))], at)
		}
		var parts []string
		for range 1 + r.IntN(6) {
			switch r.IntN(12) {
			case 0:
				parts = append(parts, "missing")
			case 1:
				parts = append(parts, "start")
			case 2:
				parts = append(parts, ".")
			case 3, 4, 5, 6:
				parts = append(parts, "..")
			default:
				parts = append(parts, names[r.IntN(len(names))])
			}
		}
		t.links[at] = strings.Join(parts, "/")
	}
	return t
}

func (t tree) make(tb testing.TB, dir string) {
	tb.Helper()
	write(tb, filepath.Join(dir, "start"), "#!/bin/sh\n")
	for _, name := range t.folders {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for name, target := range t.links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			tb.Fatal(err)
		}
	}
}

func (t tree) archive(tb testing.TB) []byte {
	tb.Helper()
	list := []entry{program("hello/start", "#!/bin/sh\n")}
	made := map[string]bool{}
	for _, name := range t.folders {
		if !made[name] {
			list = append(list, folder("hello/"+name))
		}
		made[name] = true
	}
	for name, target := range t.links {
		list = append(list, symlink("hello/"+name, target))
	}
	return tarOf(tb, list...)
}

// judge asks the kernel, through an os.Root, about every link: whether one leaves the
// folder, and whether one leads to what is not there (but may be later).
func judge(tb testing.TB, dir string, t tree) (leaves, open bool) {
	tb.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	defer root.Close()
	for name, target := range t.links {
		if literal := path.Join(path.Dir(name), target); literal == ".." || strings.HasPrefix(literal, "../") {
			leaves = true
		}
		switch _, err := root.Stat(name); {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			open = true
		default:
			leaves = true
		}
	}
	return leaves, open
}

// What os.Root says of every link on a real disk, Scan and UnpackModule say too.
func TestNoLinkLeavesItsModule(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var refused, taken, early int
	for i := range 300 {
		made := randomTree(r)
		outer := t.TempDir()
		dir := filepath.Join(outer, "hello")
		made.make(t, dir)
		leaves, open := judge(t, dir, made)
		_, scanErr := bundle.Scan(t.Context(), dir)
		unpacked := filepath.Join(outer, "unpacked", "hello")
		unpackErr := bundle.UnpackModule(t.Context(), bytes.NewReader(made.archive(t)), unpacked, bundle.Limits{})
		for how, err := range map[string]error{"scan": scanErr, "unpack": unpackErr} {
			switch {
			case err != nil && !errors.Is(err, bundle.ErrUnsafe):
				t.Fatalf("tree %d: %s: %v\n%+v", i, how, err, made)
			case err == nil && leaves:
				t.Fatalf("tree %d: %s takes a link that leaves the module: %+v", i, how, made)
			case err != nil && !leaves && !open:
				t.Fatalf("tree %d: %s refuses it: %v\n%+v", i, how, err, made)
			}
		}
		if (scanErr == nil) != (unpackErr == nil) {
			t.Fatalf("tree %d: scan says %v, and unpack %v\n%+v", i, scanErr, unpackErr, made)
		}
		switch {
		case unpackErr == nil:
			taken++
			if leaves, _ := judge(t, unpacked, made); leaves {
				t.Fatalf("tree %d: a link leaves the unpacked module: %+v", i, made)
			}
		case leaves:
			refused++
		default:
			early++
		}
		if unpackErr != nil {
			left(t, unpacked, "it was refused")
		}
	}
	t.Logf("%d taken, %d refused, %d refused for what may be made later", taken, refused, early)
	if taken < 80 || refused < 80 {
		t.Error("too few of one kind to say anything")
	}
}

func TestModulesWhoseLinksLeaveThem(t *testing.T) {
	for name, list := range map[string][]entry{
		"by a folder link":           {file("hello/t/x", ""), file("hello/p/q/r/x", ""), symlink("hello/p/q/r/l", "../../../t"), symlink("hello/out", "p/q/r/l/../../outside")},
		"to the module's own folder": {symlink("hello/d/up", ".."), symlink("hello/out", "d/up/../hello/start")},
		"through three":              {folder("hello/a/b/c"), symlink("hello/1", "a/b/c"), symlink("hello/2", "1/.."), symlink("hello/3", "2/.."), symlink("hello/4", "3/.."), symlink("hello/5", "4/d/../..")},
		"by a folder made later":     {folder("hello/a/b"), symlink("hello/a/b/up", "../.."), symlink("hello/out", "a/b/up/later/../../x")},
		"in a circle":                {symlink("hello/a", "b/x"), symlink("hello/b", "a/y")},
		"through too many":           chain("hello/", 9),
	} {
		t.Run(name, func(t *testing.T) {
			dest := filepath.Join(t.TempDir(), "module")
			raw := tarOf(t, append(list, program("hello/start", "#!/bin/sh\n"))...)
			err := bundle.UnpackModule(t.Context(), bytes.NewReader(raw), dest, bundle.Limits{})
			if !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), "leads out") {
				t.Errorf("error %v", err)
			}
			for _, path := range []string{dest, dest + ".around", dest + ".around" + bundle.StageSuffix} {
				left(t, path, "it was refused")
			}
		})
	}
	dest := filepath.Join(t.TempDir(), "module")
	raw := tarOf(t, append(chain("hello/", 8), program("hello/start", "#!/bin/sh\n"))...)
	if err := bundle.UnpackModule(t.Context(), bytes.NewReader(raw), dest, bundle.Limits{}); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
}

// chain is n links, each to the one before, and the first to a file.
func chain(in string, n int) []entry {
	list := []entry{symlink(in+"l1", "start")}
	for i := 2; i <= n; i++ {
		list = append(list, symlink(fmt.Sprintf("%sl%d", in, i), fmt.Sprintf("l%d", i-1)))
	}
	return list
}

// Links are judged by their names: as many as may be, each by a long way, cost about
// what making them does.
func TestManyLongLinksTakeNoSystemCalls(t *testing.T) {
	deep := strings.Repeat("d/", 60)
	list := append(good(), folder(deep+"e"), symlink("c0", deep+"e/.."), symlink("c1", "c0/"+strings.Repeat("e/../", 7)))
	for i := range 300 {
		list = append(list, symlink(fmt.Sprintf("%sm/l%d", top, i), "../../c1"))
	}
	if _, err := newRoom(t).unpack(bytes.NewReader(tarOf(t, list...)), bundle.Key{}, bundle.Limits{}); err != nil {
		t.Error(err)
	}
}

// What is kept in memory of an archive has a limit of its own.
func TestLimitsOfWhatIsKept(t *testing.T) {
	many := func(n int, each func(int) entry) []entry {
		list := good()
		for i := range n {
			list = append(list, each(i))
		}
		return list
	}
	name := strings.Repeat("n", 240)
	for _, tt := range []struct {
		what string
		list []entry
		text string
	}{
		{"symbolic links", many(101, func(i int) entry { return symlink(fmt.Sprintf("l%d", i), "x") }), "more than 100 links"},
		{"hard links", many(101, func(i int) entry { return hardlink(fmt.Sprintf("l%d", i), top+"m/start") }), "more than 100 links"},
		{"links of both kinds", append(many(50, func(i int) entry { return hardlink(fmt.Sprintf("l%d", i), top+"m/start") }),
			many(51, func(i int) entry { return symlink(fmt.Sprintf("s%d", i), "x") })[3:]...), "more than 100 links"},
		{"names of folders", many(280, func(i int) entry { return folder(fmt.Sprintf("%s%d", name, i)) }), "names of its folders and links"},
		{"targets of links", many(80, func(i int) entry { return symlink(fmt.Sprintf("l%d", i), strings.Repeat(name+"/", 4)+"x") }), "names of its folders and links"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			room := newRoom(t)
			_, err := room.unpack(bytes.NewReader(tarOf(t, tt.list...)), bundle.Key{}, bundle.Limits{Files: 1000})
			if !errors.Is(err, bundle.ErrUnsafe) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want ErrUnsafe with %q", err, tt.text)
			}
			room.untouched()
		})
	}
	if _, err := newRoom(t).unpack(bytes.NewReader(tarOf(t, many(100, func(i int) entry { return symlink(fmt.Sprintf("l%d", i), "x") })...)), bundle.Key{}, bundle.Limits{Files: 1000}); err != nil {
		t.Errorf("as many links as may be: %v", err)
	}
}

func TestRemoveDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "mine", "file"), "keep")
	for _, name := range []string{"bundle", "bundle" + bundle.StageSuffix} {
		if err := os.Symlink("mine", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := bundle.Remove(context.Background(), filepath.Join(dir, "bundle")); err != nil {
			t.Fatal(err)
		}
		left(t, filepath.Join(dir, name), "it was removed")
	}
	if _, err := os.Stat(filepath.Join(dir, "mine", "file")); err != nil {
		t.Errorf("what the link led to: %v", err)
	}
}
