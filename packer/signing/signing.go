// Package signing is who made a module: a signature in the module's own folder,
// so that it travels with it.
//
// The file FileName of the folder is a signature, in the format of
// internal/signature, over a statement of three facts: the module's name, its
// version, and the tree digest of everything in the folder but that file.
package signing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
	"startup-bundle/internal/signature"
	"startup-bundle/packer/source"
)

// FileName is the signature's name in a module's folder.
const FileName = "module.minisig"

// header is the statement's first line. A statement of another kind or version
// never begins with it, nor does a bundle's manifest.
const header = "startup-bundle module statement 1"

// Statement returns the text that a module's signature is over, one fact a line.
func Statement(name, version, digest string) ([]byte, error) {
	if err := module.CheckName(name); err != nil {
		return nil, err
	}
	if strings.ContainsAny(version, "\r\n") {
		return nil, fmt.Errorf("version %q holds a line break", version)
	}
	return fmt.Appendf(nil, "%s\nname %s\nversion %s\ntree %s\n", header, name, version, digest), nil
}

// statement reads the module in dir.
func statement(ctx context.Context, dir, name string) ([]byte, error) {
	spec, err := source.Spec(dir)
	if err != nil {
		return nil, err
	}
	tree, err := bundle.Scan(ctx, dir)
	if err != nil {
		return nil, err
	}
	rest := *tree
	rest.Entries = slices.DeleteFunc(slices.Clone(tree.Entries), func(e bundle.Entry) bool { return e.Path == FileName })
	return Statement(name, spec.Version, rest.Digest())
}

// SignModule signs the module called name in dir and replaces the signature there.
func SignModule(ctx context.Context, dir, name string, key signature.SecretKey) error {
	text, err := statement(ctx, dir, name)
	if err != nil {
		return fmt.Errorf("sign module %s: %w", name, err)
	}
	signed, err := key.Sign(text)
	if err != nil {
		return fmt.Errorf("sign module %s: %w", name, err)
	}
	path := filepath.Join(dir, FileName)
	temporary := path + ".new"
	err = os.WriteFile(temporary, signed, 0o644)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sign module %s: %w", name, err), os.RemoveAll(temporary))
	}
	return nil
}

// VerifyModule returns the id of the key among keys that signed the module called
// name in dir. The errors are signature.ErrUnsigned and signature.ErrInvalid, and
// those of reading the folder.
func VerifyModule(ctx context.Context, dir, name string, keys signature.Keys) (keyID string, err error) {
	text, err := statement(ctx, dir, name)
	if err != nil {
		return "", fmt.Errorf("verify module %s: %w", name, err)
	}
	signed, err := read(dir)
	if err != nil {
		return "", fmt.Errorf("verify module %s: %w", name, err)
	}
	keyID, err = keys.Verify(text, signed)
	switch {
	case errors.Is(err, signature.ErrUnsigned):
		return "", fmt.Errorf("module %s: %w: sign it with startup-packer module sign", name, err)
	case err != nil:
		return "", fmt.Errorf("module %s: %w; if the change is yours, run startup-packer module sign again", name, err)
	}
	return keyID, nil
}

// read returns the signature of the module in dir, nil where there is none.
func read(dir string) ([]byte, error) {
	path := filepath.Join(dir, FileName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no file", signature.ErrInvalid, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, signature.MaxSignature+1))
}
