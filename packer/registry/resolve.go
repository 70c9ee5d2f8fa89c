package registry

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"startup-bundle/internal/module"
)

// Resolve finds out what ref names now: oci://HOST/REPOSITORY:TAG, or @sha256:…,
// or neither for the tag latest. It reads the manifest, and no more.
//
// Errors: ErrNotFound, ErrNotModule, ErrMismatch.
func (c *Client) Resolve(ctx context.Context, ref string) (Descriptor, error) {
	r, err := parse(ref)
	if err != nil {
		return Descriptor{}, err
	}
	a, err := c.find(ctx, r)
	if err != nil {
		return Descriptor{}, c.explain("look up", r, err)
	}
	return a.Descriptor, nil
}

// Describe is Resolve, and the module.yaml with the module's options: the manifest
// and its config are read, the layer is not.
func (c *Client) Describe(ctx context.Context, ref string) (Descriptor, module.Spec, error) {
	r, err := parse(ref)
	if err != nil {
		return Descriptor{}, module.Spec{}, err
	}
	a, err := c.find(ctx, r)
	if err != nil {
		return Descriptor{}, module.Spec{}, c.explain("look up", r, err)
	}
	spec, err := c.spec(ctx, r, a)
	if err != nil {
		return Descriptor{}, module.Spec{}, c.explain("read the options of module "+a.Name+" in", r, err)
	}
	return a.Descriptor, spec, nil
}

// find fetches the manifest that r names and checks that it is a module's.
func (c *Client) find(ctx context.Context, r reference) (*artifact, error) {
	d, text, err := c.manifest(ctx, r)
	if err != nil {
		return nil, err
	}
	return readManifest(r, d, text)
}

// manifest fetches the manifest that r names. Its bytes are those of the digest.
func (c *Client) manifest(ctx context.Context, r reference) (digest.Digest, []byte, error) {
	desc, body, err := c.repository(r).Manifests().FetchReference(ctx, r.wanted())
	if err != nil {
		return "", nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, MaxManifest+1))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("read manifest: %w", err)
	case len(text) > MaxManifest:
		return "", nil, tooLarge("manifest", MaxManifest)
	}
	want := desc.Digest
	if r.pinned() {
		want = digest.Digest(r.wanted())
	}
	return want, text, compare("manifest", want, digest.FromBytes(text))
}

func (c *Client) spec(ctx context.Context, r reference, a *artifact) (module.Spec, error) {
	if a.config.Size > module.MaxSpec {
		return module.Spec{}, tooLarge(module.SpecFile, module.MaxSpec)
	}
	text, err := c.small(ctx, r, a.config)
	if err != nil {
		return module.Spec{}, err
	}
	return parseSpec(a, text)
}

// parseSpec reads the module.yaml of a, which must say the version that it is
// published as.
func parseSpec(a *artifact, text []byte) (module.Spec, error) {
	spec, err := module.ParseSpec(text)
	if err == nil && spec.Version != a.Version {
		err = fmt.Errorf("%w: it is published as version %q and its %s says %q", ErrMismatch, a.Version, module.SpecFile, spec.Version)
	}
	return spec, err
}

// small fetches a blob that fits in memory: its size was looked at.
func (c *Client) small(ctx context.Context, r reference, d ocispec.Descriptor) ([]byte, error) {
	body, err := c.repository(r).Blobs().Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, d.Size+1))
	if err != nil {
		return nil, err
	}
	return text, compare("config", d.Digest, digest.FromBytes(text))
}

func compare(what string, want, got digest.Digest) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("%w: its %s is %s and should be %s: somebody changed it, or the registry is damaged", ErrMismatch, what, got, want)
}

func tooLarge(what string, most int) error {
	return fmt.Errorf("%w: its %s is larger than the %d bytes that are read", ErrNotModule, what, most)
}
