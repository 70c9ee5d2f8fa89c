package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entry is one file, folder or symbolic link of a Tree.
type Entry struct {
	Path string      // slash-separated, relative to the tree's folder; never empty
	Mode fs.FileMode // type bits, and 0755 or 0644
	Size int64       // bytes of a file
	Link string      // target of a symbolic link
	sum  string      // sha256 of a file's content, hex
}

// Same reports whether two entries are of the same kind, mode and content.
func (e Entry) Same(other Entry) bool {
	return e.Mode == other.Mode && e.Size == other.Size && e.Link == other.Link && e.sum == other.sum
}

// Tree is what a folder holds, as a bundle carries it.
type Tree struct {
	Dir     string  // the folder on disk
	Entries []Entry // byte order of their paths
	Bytes   int64   // of all files
}

// ignored are names that a tree leaves out wherever they stand.
func ignored(name string) bool { return name == ".git" || name == ".DS_Store" }

// Scan reads the folder dir, files included, for their digests. Symbolic links
// are kept as links and must stay inside, by whatever way they lead; sockets, devices
// and the like are refused. Modes become 0755 for folders and whatever has an exec bit, else 0644.
func Scan(ctx context.Context, dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	defer root.Close()
	t := &Tree{Dir: dir}
	folders, targets := map[string]bool{}, map[string]string{}
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ended(ctx)
		case p == ".":
			return nil
		case ignored(d.Name()) && d.IsDir():
			return fs.SkipDir
		case ignored(d.Name()):
			return nil
		}
		e, err := scanEntry(ctx, root, p, d)
		if err != nil {
			return fmt.Errorf("%s: %w", path.Join(dir, p), err)
		}
		t.Entries = append(t.Entries, e)
		t.Bytes += e.Size
		if e.Link != "" {
			targets[p] = e.Link
		}
		folders[p] = e.Mode.IsDir()
		return nil
	})
	if err == nil {
		inside := &links{folder: func(name string) bool { return folders[name] }, targets: targets}
		err = inside.check(ctx, root)
	}
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	slices.SortFunc(t.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return t, nil
}

func scanEntry(ctx context.Context, root *os.Root, name string, d fs.DirEntry) (Entry, error) {
	e := Entry{Path: name, Mode: fs.ModeDir | 0o755}
	if err := checkName(name); err != nil {
		return e, err
	}
	switch d.Type() {
	case fs.ModeDir:
		return e, nil
	case fs.ModeSymlink:
		target, err := root.Readlink(name)
		if err != nil {
			return e, err
		}
		e.Mode, e.Link = fs.ModeSymlink|0o755, target
		return e, checkLink(name, target)
	case 0:
		return scanFile(ctx, root, e)
	}
	return e, unsafe("it is neither file, folder nor link")
}

func scanFile(ctx context.Context, root *os.Root, e Entry) (Entry, error) {
	f, err := root.Open(e.Path)
	if err != nil {
		return e, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return e, err
	}
	e.Mode = fileMode(info.Mode())
	h := sha256.New()
	if e.Size, err = io.Copy(h, Until(ctx, f)); err != nil {
		return e, err
	}
	e.sum = hex.EncodeToString(h.Sum(nil))
	return e, nil
}

func fileMode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// Digest is the tree digest, "sha256:" and 64 hex digits: the sha256 of one line
// for each entry, in byte order of the paths. A line is the entry's kind (d
// folder, f file, x executable file, l link), a space, the path, a NUL, then the
// sha256 of the content in hex for a file, the target for a link, nothing for a
// folder, and a line feed.
func (t *Tree) Digest() string {
	h := sha256.New()
	for _, e := range t.Entries {
		kind, payload := "f", e.sum
		switch {
		case e.Mode.IsDir():
			kind, payload = "d", ""
		case e.Mode&fs.ModeSymlink != 0:
			kind, payload = "l", e.Link
		case e.Mode&0o111 != 0:
			kind = "x"
		}
		fmt.Fprintf(h, "%s %s\x00%s\n", kind, e.Path, payload)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// checkName refuses archive paths that no machine should be asked to make.
// name is cleaned, slash-separated and relative.
func checkName(name string) error {
	switch {
	case len(name) > MaxName:
		return unsafe("the name %.40q… is longer than %d bytes", name, MaxName)
	case strings.Count(name, "/") >= MaxDepth:
		return unsafe("the name %.40q… is more than %d folders deep", name, MaxDepth)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }):
		return unsafe("the name %.80q holds control characters or is not UTF-8", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > 255 {
			return unsafe("the name %.40q… has a part longer than 255 bytes", name)
		}
	}
	return nil
}

// checkLink refuses a symbolic link at name whose target, taken literally, lies
// outside the tree.
func checkLink(name, target string) error {
	switch {
	case target == "":
		return unsafe("the link %q points nowhere", name)
	case path.IsAbs(target):
		return unsafe("the link %q points to the absolute path %.80q: make it relative", name, target)
	}
	end := path.Join(path.Dir(name), target)
	if end == ".." || strings.HasPrefix(end, "../") {
		return unsafe("the link %q points out of its folder, to %.80q", name, target)
	}
	return checkName(strings.ReplaceAll(target, "../", ""))
}
