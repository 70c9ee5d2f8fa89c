package packer

import (
	"context"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/secret"
)

// Resealed is what Reseal made.
type Resealed struct {
	Bundle     string   `json:"bundle"`
	Bytes      int64    `json:"bytes"`
	SHA256     string   `json:"sha256"` // of the file, hex: what userdata pins
	KeyFile    string   `json:"key_file,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
}

// Reseal writes the bundle at path, which key opens, to out under another key. The
// content is not touched: its digest and its signature stay. Out appears whole or not
// at all, and with it a fresh key's file.
func Reseal(ctx context.Context, path, out string, key secret.String, seal Seal) (*Resealed, error) {
	if seal.Format == FormatOpenSSL {
		return nil, bundle.ErrNotResealable
	}
	k, err := seal.settle()
	if err != nil {
		return nil, err
	}
	if err := writable(out); err != nil {
		return nil, err
	}
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o, err := newOutput(out)
	if err != nil {
		return nil, err
	}
	defer o.abandon()
	if err := bundle.Reseal(o, bundle.Until(ctx, f), key, k.to...); err != nil {
		return nil, err
	}
	if err := k.save(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, k.unsave(err)
	}
	if err := o.commit(); err != nil {
		return nil, k.unsave(err)
	}
	return &Resealed{Bundle: out, Bytes: o.n, SHA256: o.sum(), KeyFile: k.file, Recipients: k.recipients}, nil
}
