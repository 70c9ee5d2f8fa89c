package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// StageSuffix is added to a folder's name while it is being unpacked. A folder
// with this name is never more than half of a bundle: remove it at will.
const StageSuffix = ".unverified"

// maxTrailer is how much zero padding may follow the end of the tar, in bytes.
// GNU tar pads to 10 KiB.
const maxTrailer = 1 << 20

// Unpack reads a whole bundle and makes the folder dest of it. dest must not
// exist, its parent may be missing. It appears by a rename, after the last byte
// was read and every layer, and the raw stream below, ended without an error;
// else it does not appear at all, and nothing stays beside it, but for what takes
// longer to remove than ctx leaves time for: the next Unpack removes that. It is not
// yet durable: see Contents.Sync.
//
// Everything is written below a staging folder through an os.Root. Files become
// 0755 or 0644, folders 0755, owned by the caller; links are made last.
//
// Each of checks looks at the whole bundle while it still has its staging folder
// as Dir: an error of one refuses it.
//
// Once ctx ends, Unpack fails at once with its cause.
//
// Errors: what Open's Reader gives, ErrUnsafe, ErrSpace, and those of checks.
func Unpack(ctx context.Context, r *Reader, dest string, limits Limits, checks ...func(*Contents) error) (*Contents, error) {
	dest = filepath.Clean(dest)
	switch _, err := os.Lstat(dest); {
	case err == nil:
		return nil, fmt.Errorf("unpack: %s is there already: %w", dest, syscall.EEXIST)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	stage := dest + StageSuffix
	if err := removeTree(ctx, stage); err != nil {
		return nil, fmt.Errorf("unpack: remove what an earlier run left: %w", err)
	}
	defer context.AfterFunc(ctx, func() { r.cancel(context.Cause(ctx)) })()
	c, err := unpackStage(ctx, r, stage, limits.withDefaults())
	for _, check := range checks {
		if err == nil {
			c.Dir = stage
			err = check(c)
		}
	}
	if err == nil {
		err = os.Rename(stage, dest)
	}
	if err != nil {
		return nil, errors.Join(spaceError(err, stage), cleanUp(ctx, stage))
	}
	c.Dir = dest
	return c, nil
}

func unpackStage(ctx context.Context, r *Reader, stage string, limits Limits) (*Contents, error) {
	if err := os.Mkdir(stage, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(stage)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	w, err := newTreeWriter(root)
	if err != nil {
		return nil, err
	}
	x := &extractor{w: w, limits: limits, links: map[string]string{}}
	in := &bounded{r: r, limits: limits}
	err = x.run(in)
	if closeErr := w.close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = drain(in)
	}
	if err == nil {
		err = x.makeLinks(ctx, root)
	}
	if err != nil {
		return nil, err
	}
	return read(ctx, root)
}

// drain reads what follows the tar's end: zeros only, and then the end of every
// layer. archive/tar says EOF at its first zero blocks, before the encryption
// has authenticated the rest and before the transport has checked its digest.
func drain(r io.Reader) error {
	buf := make([]byte, 64<<10)
	var total int
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return unsafe("something follows the end of the tar")
			}
		}
		if total += n; total > maxTrailer {
			return unsafe("more than %d bytes follow the end of the tar", maxTrailer)
		}
		if isEnd(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// extractor walks the tar and checks each entry before anything is made of it.
type extractor struct {
	w      *treeWriter
	limits Limits
	bytes  int64
	files  int64
	links  map[string]string // symbolic links to make last: name → target
	hard   [][2]string       // hard links: name, target
	names  int64             // bytes of links' names and targets
}

func (x *extractor) run(in *bounded) error {
	for t := newEntries(in); ; {
		h, content, cut, err := t.next()
		switch {
		case isEnd(err) && x.files == 0:
			return fmt.Errorf("%w: the archive is empty", ErrFormat)
		case isEnd(err) && cut:
			return fmt.Errorf("%w: the tar ends without its end mark: truncated between two files", ErrDamaged)
		case isEnd(err):
			return nil
		case err != nil:
			return tarError(err)
		}
		if err := x.entry(h, content); err != nil {
			return err
		}
	}
}

func tarError(err error) error {
	switch {
	case err == nil, isBelow(err), errors.Is(err, ErrUnsafe):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the tar is truncated", ErrDamaged)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fmt.Errorf("%w: the tar holds a broken header", ErrDamaged)
	case isSystem(err): // a file could not be written
		return err
	}
	return fmt.Errorf("%w: the tar: %w", ErrDamaged, err)
}

// isSystem reports whether err is a system call's.
func isSystem(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// count holds the archive to its limits. Links' folders are made when all is read, so
// it is asked then too.
func (x *extractor) count() error {
	switch most := x.limits.Files; {
	case x.files+x.w.implied > most:
		return unsafe("it holds more than %d files (a limit that --max-files raises)", most)
	case int64(len(x.links)+len(x.hard)) > max(most/linkShare, 1):
		return unsafe("it holds more than %d links (a limit that --max-files raises)", max(most/linkShare, 1))
	case x.names+x.w.names > most*nameBytes:
		return unsafe("the names of its folders and links take more than %d bytes (a limit that --max-files raises)",
			most*nameBytes)
	}
	return nil
}

// GNU tar's own types, which archive/tar passes on.
const (
	gnuVolumeLabel = 'V' // the archive's name, from --label
	gnuDumpDir     = 'D' // a folder's list of names, from --listed-incremental
	gnuMultiVolume = 'M' // the rest of a file, from --multi-volume
)

func (x *extractor) entry(h *tar.Header, content io.Reader) error {
	x.files++
	if err := x.count(); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeXGlobalHeader || h.Typeflag == gnuVolumeLabel { // git archive writes the first
		return nil
	}
	name, err := entryName(h.Name)
	if err != nil {
		return err
	}
	if h.Mode&0o7000 != 0 && h.Typeflag == tar.TypeReg {
		return unsafe("%q is setuid, setgid or sticky", name)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return unsafe("%q is a sparse file: pack it without tar's --sparse", name)
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.w.folder(name)
	case tar.TypeReg:
		return x.file(name, h, content)
	case tar.TypeSymlink:
		return x.symlink(name, h.Linkname)
	case tar.TypeLink:
		target, err := entryName(h.Linkname)
		if err != nil {
			return err
		}
		x.hard = append(x.hard, [2]string{name, target})
		x.names += int64(len(name) + len(target))
		return nil
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return unsafe("%q is a device or a named pipe", name)
	case tar.TypeGNUSparse:
		return unsafe("%q is a sparse file: pack it without tar's --sparse", name)
	case gnuDumpDir:
		return unsafe("%q is a folder of an incremental backup: pack it without tar's --listed-incremental", name)
	case gnuMultiVolume:
		return unsafe("%q goes on from another volume: pack it without tar's --multi-volume", name)
	}
	return unsafe("%q is of the unknown type %q", name, h.Typeflag)
}

func entryName(raw string) (string, error) {
	if strings.HasPrefix(raw, "/") {
		return "", unsafe("the name %.80q is absolute", raw)
	}
	for part := range strings.SplitSeq(raw, "/") {
		if part == ".." {
			return "", unsafe("the name %.80q climbs out of its folder", raw)
		}
	}
	name := path.Clean(raw)
	return name, checkName(name)
}

func (x *extractor) file(name string, h *tar.Header, content io.Reader) error {
	if name == "." {
		return unsafe("a file has no name")
	}
	if x.bytes += h.Size; x.bytes > x.limits.Bytes || h.Size > x.limits.Bytes {
		return unsafe("it unpacks to more than %d bytes (a limit that --max-bytes raises)", x.limits.Bytes)
	}
	if name == path.Join(Top, ManifestName) {
		if h.Size > MaxManifest {
			return notSmall(ManifestName, MaxManifest)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return tarError(err)
		}
		if err := x.preview(text); err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	return x.w.file(name, fileMode(fs.FileMode(h.Mode)), h.Size, content)
}

// preview reads the manifest as it comes by, before the rest is unpacked: a
// format from the future or a disk too small shows at once.
func (x *extractor) preview(manifest []byte) error {
	m, err := ParseManifest(manifest)
	if err != nil {
		return err
	}
	var fsys unix.Statfs_t
	if err := unix.Statfs(x.w.root.Name(), &fsys); err != nil {
		return err
	}
	free := int64(fsys.Bavail) * int64(fsys.Bsize) //nolint:unconvert // its type differs between systems
	if m.Bytes > free {
		return fmt.Errorf("%w: it unpacks to %d bytes and %d are free: give the instance a larger disk, at %s", ErrSpace, m.Bytes, free, path.Dir(x.w.root.Name()))
	}
	return nil
}

// bounded stops a compression bomb wherever it is: in a file, in many, in the
// headers that archive/tar takes in by itself.
type bounded struct {
	r interface {
		next(most int) ([]byte, error)
		BytesIn() int64
	}
	n      int64
	limits Limits
}

func (b *bounded) Read(p []byte) (int, error) {
	data, err := b.next(len(p))
	return copy(p, data), err
}

// next is the Reader's.
func (b *bounded) next(most int) ([]byte, error) {
	data, err := b.r.next(most)
	if b.n += int64(len(data)); b.n > RatioFloor && b.n/max(b.r.BytesIn(), 1) > b.limits.Ratio {
		return nil, unsafe("it unpacks to more than %d times its size (a limit that --max-ratio raises)", b.limits.Ratio)
	}
	if (b.n-b.limits.Bytes)/entryBytes > b.limits.Files {
		return nil, unsafe("its tar holds more than %d bytes for each of %d files, their contents aside",
			entryBytes, b.limits.Files)
	}
	return data, err
}
