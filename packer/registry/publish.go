package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
)

// PublishOptions say how to publish.
type PublishOptions struct {
	DryRun  bool      // look, and say what would be done
	ModTime time.Time // of every file, and the artifact's creation time; zero: the epoch, and none
}

// Published says what Publish made.
type Published struct {
	Descriptor
	Tags     []string `json:"tags"`               // that were set, or would be
	Uploaded bool     `json:"uploaded"`           // false: the registry had this content under this tag
	DryRun   bool     `json:"dry_run,omitempty"`  // nothing was changed
	Warnings []string `json:"warnings,omitempty"` // sentences for a person
}

// Publish puts the module in the folder dir into the repository that ref names,
// under the tag of its version, and moves the tags that follow versions (1.2, 1,
// latest) forward where this version is the newest they may name. A ref with a tag
// that is no version, such as :edge, sets that tag alone.
//
// A version is published once: where its tag names other content already,
// Publish is refused by ErrPublished and changes nothing; where it names the same,
// only tags that were left behind are moved.
//
// Everything is uploaded before a tag names it. The folder's name is the module's.
func (c *Client) Publish(ctx context.Context, dir, ref string, o PublishOptions) (*Published, error) {
	r, err := parse(ref)
	if err != nil {
		return nil, err
	}
	m, err := readModule(ctx, dir)
	if err != nil {
		return nil, err
	}
	tag, err := m.tag(r)
	if err != nil {
		return nil, err
	}
	layer, err := m.archive(o.ModTime)
	if err != nil {
		return nil, fmt.Errorf("publish module %s: %w", m.name, err)
	}
	defer layer.remove()
	p := &publication{client: c, repo: c.repository(r), ref: r, module: m, tag: tag, layer: layer, dryRun: o.DryRun}
	result, err := p.run(ctx)
	if err != nil {
		return nil, c.explain("publish module "+m.name+" to", r, err)
	}
	return result, nil
}

// folder is a module on its way into a registry.
type folder struct {
	content
	version module.Version
	yaml    []byte // module.yaml as it stands
}

func readModule(ctx context.Context, dir string) (*folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	m := &folder{content: content{name: filepath.Base(abs)}}
	if err := module.CheckName(m.name); err != nil {
		return nil, fmt.Errorf("%s: %w: the folder's name is the module's", dir, err)
	}
	if m.tree, err = bundle.Scan(ctx, dir); err != nil {
		return nil, fmt.Errorf("module %s: %w", m.name, err)
	}
	path := filepath.Join(dir, module.SpecFile)
	noVersion := fmt.Errorf("module %s has no version: add one to %s, such as  version: 1.0.0", m.name, path)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, noVersion
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if m.yaml, err = io.ReadAll(io.LimitReader(f, module.MaxSpec+1)); err != nil {
		return nil, err
	}
	if m.spec, err = module.ParseSpec(m.yaml); err != nil {
		return nil, fmt.Errorf("module %s: %w", m.name, err)
	}
	if m.spec.Version == "" {
		return nil, noVersion
	}
	m.config = describe(ConfigType, m.yaml)
	m.version, err = module.ParseVersion(m.spec.Version)
	return m, err
}

// layerFile is the layer on disk: a module may be larger than memory.
type layerFile struct{ path string }

func (l layerFile) remove() { _ = os.Remove(l.path) }

// archive writes the layer and completes the content.
func (m *folder) archive(modTime time.Time) (layerFile, error) {
	m.modTime = modTime
	f, err := os.CreateTemp("", "startup-packer-layer-*")
	if err != nil {
		return layerFile{}, err
	}
	defer f.Close()
	l := layerFile{f.Name()}
	h := sha256.New()
	if err := bundle.WriteModule(io.MultiWriter(f, h), m.tree, m.name, modTime); err != nil {
		l.remove()
		return l, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		l.remove()
		return l, err
	}
	m.layer = ocispec.Descriptor{
		MediaType: LayerType, Digest: digest.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), Size: size,
		Annotations: map[string]string{ocispec.AnnotationTitle: m.name + ".tar.zst"},
	}
	return l, nil
}

// reopen gives the layer as a request's body.
func (l layerFile) reopen() io.ReadCloser {
	f, err := os.Open(l.path)
	if err != nil {
		return io.NopCloser(&unreadable{err})
	}
	return &layerBody{f, l}
}

type layerBody struct {
	*os.File
	layerFile
}

type unreadable struct{ err error }

func (u *unreadable) Read([]byte) (int, error) { return 0, u.err }

// publication is one call of Publish, once the module is read.
type publication struct {
	client *Client
	repo   *remote.Repository
	ref    reference
	module *folder
	tag    string
	layer  layerFile
	dryRun bool
}

func (p *publication) run(ctx context.Context) (*Published, error) {
	text, err := p.module.manifest()
	if err != nil {
		return nil, err
	}
	desc := describe(ocispec.MediaTypeImageManifest, text)
	made, err := readManifest(p.ref, desc.Digest, text)
	if err != nil {
		return nil, err
	}
	result := &Published{Descriptor: made.Descriptor, Tags: []string{}, DryRun: p.dryRun, Uploaded: true}
	if p.ref.name() != p.module.name {
		result.Warnings = append(result.Warnings, fmt.Sprintf("the repository %s ends in %s and the module is called %s: people will look for it under its own name",
			p.ref.Repository, p.ref.name(), p.module.name))
	}
	there, thereText, err := p.there(ctx)
	if err != nil {
		return nil, err
	}
	if there != nil && (there.Digest == made.Digest || p.isVersion() && there.TreeDigest == made.TreeDigest) {
		// The same folder, archived by another version of the packer perhaps: what is
		// published stays as it is.
		result.Descriptor, result.Uploaded = there.Descriptor, false
		desc, text = describe(ocispec.MediaTypeImageManifest, thereText), thereText
	} else if there != nil && p.isVersion() {
		return nil, fmt.Errorf("%w: %s is %s (tree %s), and this folder is %s (tree %s): raise the version in %s",
			ErrPublished, p.tag, there.Digest, there.TreeDigest, made.Digest, made.TreeDigest, module.SpecFile)
	}
	if result.Uploaded {
		result.Tags = append(result.Tags, p.tag)
		if err := p.upload(ctx, desc, text); err != nil {
			return nil, err
		}
	}
	if p.isVersion() {
		moved, err := p.follow(ctx, desc, text)
		if err != nil {
			return nil, fmt.Errorf("%s is there as %s, and its tags could not all be moved: publish again: %w", p.tag, result.Digest, err)
		}
		result.Tags = append(result.Tags, moved...)
	}
	return result, nil
}

// isVersion reports whether the tag is the module's version, and so set only once.
func (p *publication) isVersion() bool { return p.tag == p.module.spec.Version }

// there returns what the tag names now; nil for nothing. Under a version's tag,
// what is no module is an error.
func (p *publication) there(ctx context.Context) (*artifact, []byte, error) {
	r := p.ref.at(p.tag)
	d, text, err := p.client.manifest(ctx, r)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	a, err := readManifest(r, d, text)
	if err != nil && !p.isVersion() {
		return nil, nil, nil // a tag that may be moved
	}
	if err != nil {
		return nil, nil, fmt.Errorf("its tag %s is taken by %s, which is %w", p.tag, d, err)
	}
	return a, text, nil
}

// upload puts layer and config there, and then the manifest under its tag.
func (p *publication) upload(ctx context.Context, desc ocispec.Descriptor, manifest []byte) error {
	if p.dryRun {
		return nil
	}
	layer := p.layer.reopen()
	defer layer.Close()
	if err := p.blob(ctx, p.module.layer, layer); err != nil {
		return fmt.Errorf("upload the layer %s: %w", p.module.layer.Digest, err)
	}
	if err := p.blob(ctx, p.module.config, bytes.NewReader(p.module.yaml)); err != nil {
		return fmt.Errorf("upload %s: %w", module.SpecFile, err)
	}
	return p.setTag(ctx, p.tag, desc, manifest)
}

func (p *publication) setTag(ctx context.Context, tag string, desc ocispec.Descriptor, manifest []byte) error {
	if err := p.repo.Manifests().PushReference(ctx, desc, bytes.NewReader(manifest), tag); err != nil {
		return fmt.Errorf("set the tag %s to %s: %w", tag, desc.Digest, err)
	}
	return nil
}

func (p *publication) blob(ctx context.Context, d ocispec.Descriptor, content io.Reader) error {
	if there, err := p.repo.Blobs().Exists(ctx, d); err != nil || there {
		return err
	}
	return p.repo.Blobs().Push(ctx, d, content)
}
