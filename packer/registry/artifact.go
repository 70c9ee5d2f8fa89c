package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"startup-bundle/internal/bundle"
	"startup-bundle/internal/module"
)

// The form of a published module: an OCI 1.1 image manifest of ArtifactType, whose
// config is the module.yaml as it stands and whose one layer is the folder.
const (
	ArtifactType = "application/vnd.startup-bundle.module.v1"
	ConfigType   = "application/vnd.startup-bundle.module.config.v1+yaml"
	LayerType    = "application/vnd.startup-bundle.module.layer.v1.tar+zstd"

	artifactFamily = "application/vnd.startup-bundle.module."
)

// Annotations beside those that OCI defines: title (the module's name), version,
// description (its summary) and, where SOURCE_DATE_EPOCH is set, created.
const (
	AnnotationTree = "startup-bundle.module.tree" // the tree digest: sha256:…
	AnnotationOS   = "startup-bundle.module.os"   // the systems, with commas between
)

// MaxManifest is the largest manifest read, in bytes: what registries take.
const MaxManifest = 4 << 20

// Descriptor is a published module as its manifest tells of it.
type Descriptor struct {
	Ref        string    `json:"ref"`    // oci://HOST/REPOSITORY@sha256:…
	Digest     string    `json:"digest"` // of the manifest, "sha256:" and 64 hex digits
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Summary    string    `json:"summary,omitempty"`
	OS         []string  `json:"os,omitempty"`
	TreeDigest string    `json:"tree_digest,omitempty"` // of the folder, as bundles have it
	Created    time.Time `json:"created,omitzero"`
	Size       int64     `json:"size"` // of the layer, in bytes
}

// artifact is a manifest that was found to be a module's.
type artifact struct {
	Descriptor
	config, layer ocispec.Descriptor
}

// content is what a module's manifest is made of.
type content struct {
	name    string
	spec    module.Spec
	tree    *bundle.Tree
	modTime time.Time
	config  ocispec.Descriptor
	layer   ocispec.Descriptor
}

// manifest returns the manifest's bytes: the same content gives the same ones.
func (c content) manifest() ([]byte, error) {
	annotations := map[string]string{
		ocispec.AnnotationTitle:   c.name,
		ocispec.AnnotationVersion: c.spec.Version,
		AnnotationTree:            c.tree.Digest(),
	}
	if c.spec.Summary != "" {
		annotations[ocispec.AnnotationDescription] = c.spec.Summary
	}
	if len(c.spec.OS) > 0 {
		annotations[AnnotationOS] = strings.Join(c.spec.OS, ",")
	}
	if !c.modTime.IsZero() {
		annotations[ocispec.AnnotationCreated] = c.modTime.UTC().Format(time.RFC3339)
	}
	return json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       c.config,
		Layers:       []ocispec.Descriptor{c.layer},
		Annotations:  annotations,
	})
}

func describe(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// readManifest reads a manifest that its digest vouches for, and says what it is
// where it is no module's.
func readManifest(ref reference, d digest.Digest, text []byte) (*artifact, error) {
	var m struct {
		ocispec.Manifest
		Manifests []json.RawMessage `json:"manifests"` // of an index
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: its manifest is no JSON that a registry should hold", ErrNotModule)
	}
	if err := foreign(m.MediaType, m.ArtifactType, m.Config.MediaType, m.Manifests != nil); err != nil {
		return nil, err
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != LayerType || m.Config.MediaType != ConfigType {
		return nil, fmt.Errorf("%w: it says it is one, and has not one layer of type %s and a config of type %s", ErrNotModule, LayerType, ConfigType)
	}
	a := &artifact{config: m.Config, layer: m.Layers[0], Descriptor: Descriptor{
		Ref: ref.at(d.String()).String(), Digest: d.String(), Name: ref.name(), Size: m.Layers[0].Size,
		Version: m.Annotations[ocispec.AnnotationVersion], Summary: short(m.Annotations[ocispec.AnnotationDescription]),
		TreeDigest: m.Annotations[AnnotationTree],
	}}
	if title := m.Annotations[ocispec.AnnotationTitle]; title != "" {
		a.Name = title
	}
	if systems := m.Annotations[AnnotationOS]; systems != "" {
		a.OS = strings.Split(short(systems), ",")
	}
	a.Created, _ = time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated]) // absent or unreadable: zero
	if err := a.check(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *artifact) check() error {
	if err := module.CheckName(a.Name); err != nil {
		return fmt.Errorf("%w: its title: %w", ErrNotModule, err)
	}
	if a.Version != "" {
		if _, err := module.ParseVersion(a.Version); err != nil {
			return fmt.Errorf("%w: %w", ErrNotModule, err)
		}
	}
	for _, d := range []ocispec.Descriptor{a.config, a.layer} {
		if d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
			return fmt.Errorf("%w: its manifest names content by %.80q, which is no sha256 digest", ErrNotModule, string(d.Digest))
		}
		if d.Size < 0 {
			return fmt.Errorf("%w: its manifest says that %s is of %d bytes", ErrNotModule, d.Digest, d.Size)
		}
	}
	if t := digest.Digest(a.TreeDigest); t != "" && (t.Validate() != nil || t.Algorithm() != digest.SHA256) {
		return fmt.Errorf("%w: its tree digest %.80q is no sha256 digest", ErrNotModule, a.TreeDigest)
	}
	return nil
}

// foreign says what a manifest is that is not a module's of this version.
func foreign(mediaType, artifactType, configType string, index bool) error {
	const docker = "application/vnd.docker.distribution.manifest."
	var kind string
	switch {
	case artifactType == ArtifactType:
		return nil
	case strings.HasPrefix(artifactType, artifactFamily):
		return fmt.Errorf("%w that this version can read: its type is %.80q and %s is known: use a newer startup-packer", ErrNotModule, artifactType, ArtifactType)
	case index, mediaType == ocispec.MediaTypeImageIndex, mediaType == docker+"list.v2+json":
		kind = "an image index, which names images for several platforms"
	case mediaType == docker+"v2+json", configType == ocispec.MediaTypeImageConfig:
		kind = "a container image"
	case artifactType != "":
		kind = fmt.Sprintf("an artifact of the type %.80q", artifactType)
	default:
		kind = fmt.Sprintf("an artifact whose config is of the type %.80q", configType)
	}
	return fmt.Errorf("%w: it is %s; startup-packer module publish makes modules", ErrNotModule, kind)
}
