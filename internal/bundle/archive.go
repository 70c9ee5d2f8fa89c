package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"startup-bundle/internal/module"
)

// Archive is what goes into a bundle's tar.
type Archive struct {
	Manifest Manifest         // its Modules' digests, sizes and counts are filled in by Write
	Trees    map[string]*Tree // by module folder, as Manifest.Modules name them
	Lib      []byte           // the shell library; nil: none
	ModTime  time.Time        // of every entry; zero: the epoch
	ShellEnv bool             // also write the options as shell assignments below EnvFolder

	// Sign makes the signature over the manifest's bytes; nil: unsigned.
	Sign func(manifest []byte) ([]byte, error)
}

// Write writes the tar to w and returns the content digest, "sha256:" and the
// hex sha256 of what it wrote. The same Archive gives the same bytes: the
// manifest first, then everything in byte order of names; one fixed time,
// owner 0:0, modes 0755 and 0644. A file that changed since Scan is an error.
func (a *Archive) Write(w io.Writer) (string, error) {
	for i, m := range a.Manifest.Modules {
		tree := a.Trees[m.Folder()]
		if tree == nil {
			return "", fmt.Errorf("write archive: no folder for module %s", m.Name)
		}
		a.Manifest.Modules[i].Digest = tree.Digest()
	}
	a.Manifest.FormatVersion = FormatVersion
	if a.Lib != nil {
		a.Manifest.LibDigest = libDigest(a.Lib)
	}
	a.Manifest.Bytes, a.Manifest.Files = a.size()
	manifest, err := json.MarshalIndent(a.Manifest, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write archive: %w", err)
	}
	manifest = append(manifest, '\n')
	var signature []byte
	if a.Sign != nil {
		if signature, err = a.Sign(manifest); err != nil {
			return "", fmt.Errorf("sign bundle: %w", err)
		}
	}
	out := &archiveWriter{digest: sha256.New(), modTime: a.ModTime}
	if out.modTime.IsZero() {
		out.modTime = time.Unix(0, 0)
	}
	out.tar = tar.NewWriter(io.MultiWriter(w, out.digest))
	out.bytes(path.Join(Top, ManifestName), manifest)
	if a.Sign != nil {
		out.bytes(path.Join(Top, SignatureName), signature)
	}
	if a.ShellEnv {
		a.writeShellEnv(out)
	}
	folders := slices.Sorted(maps.Keys(a.Trees))
	before, _ := slices.BinarySearch(folders, LibName)
	for _, folder := range folders[:before] {
		out.tree(path.Join(Top, folder), a.Trees[folder])
	}
	if a.Lib != nil {
		out.bytes(path.Join(Top, LibName), a.Lib)
	}
	for _, folder := range folders[before:] {
		out.tree(path.Join(Top, folder), a.Trees[folder])
	}
	if out.err == nil {
		out.err = out.tar.Close()
	}
	if out.err != nil {
		return "", fmt.Errorf("write archive: %w", out.err)
	}
	return "sha256:" + hex.EncodeToString(out.digest.Sum(nil)), nil
}

// writeShellEnv tells the shell recipe what it cannot read in the manifest: of the
// bundle its name and on_failure, of each folder its module's name and options.
func (a *Archive) writeShellEnv(out *archiveWriter) {
	out.bytes(path.Join(Top, EnvFolder, EnvBundleFile), shellAssignments(map[string]string{
		module.EnvBundle: a.Manifest.Name, EnvOnFailure: a.Manifest.OnFailure,
	}))
	for _, m := range slices.SortedFunc(slices.Values(a.Manifest.Modules), byFolder) {
		env := maps.Clone(m.Env)
		if env == nil {
			env = map[string]string{}
		}
		env[module.EnvModule] = m.Name
		out.bytes(path.Join(Top, EnvFolder, m.Folder()), shellAssignments(env))
	}
}

func (a *Archive) size() (bytes, files int64) {
	for _, t := range a.Trees {
		bytes += t.Bytes
		files += int64(len(t.Entries)) + 1
	}
	return bytes + int64(len(a.Lib)), files
}

func libDigest(lib []byte) string {
	sum := sha256.Sum256(lib)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func byFolder(x, y Module) int { return strings.Compare(x.Folder(), y.Folder()) }

// shellAssignments writes env as lines that sh reads back unchanged.
func shellAssignments(env map[string]string) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(env[name], "'", `'\''`))
	}
	return b.Bytes()
}

// archiveWriter writes entries until the first error, which it keeps.
type archiveWriter struct {
	tar     *tar.Writer
	digest  hash.Hash
	modTime time.Time
	err     error
}

func (o *archiveWriter) header(name string, mode fs.FileMode, size int64, link string) {
	h := &tar.Header{Name: name, Mode: int64(mode.Perm()), Size: size, Linkname: link, ModTime: o.modTime, Typeflag: tar.TypeReg}
	switch {
	case mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case mode&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
	}
	if o.err == nil {
		o.err = o.tar.WriteHeader(h)
	}
}

func (o *archiveWriter) bytes(name string, content []byte) {
	o.header(name, 0o644, int64(len(content)), "")
	if o.err == nil {
		_, o.err = o.tar.Write(content)
	}
}

func (o *archiveWriter) tree(folder string, t *Tree) {
	o.header(folder, fs.ModeDir|0o755, 0, "")
	if o.err != nil {
		return
	}
	root, err := os.OpenRoot(t.Dir)
	if err != nil {
		o.err = err
		return
	}
	defer root.Close()
	for _, e := range t.Entries {
		o.header(path.Join(folder, e.Path), e.Mode, e.Size, e.Link)
		if o.err == nil && e.Mode.IsRegular() {
			o.err = o.file(root, e)
		}
	}
}

func (o *archiveWriter) file(root *os.Root, e Entry) error {
	f, err := root.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(o.tar, h), f)
	if errors.Is(err, tar.ErrWriteTooLong) || (err == nil && (n != e.Size || hex.EncodeToString(h.Sum(nil)) != e.sum)) {
		return fmt.Errorf("%s changed while it was packed: pack again when nothing writes there", f.Name())
	}
	return err
}
