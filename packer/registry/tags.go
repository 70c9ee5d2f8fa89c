package registry

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"startup-bundle/internal/module"
)

const (
	tagLatest   = "latest"
	maxTagPages = 1000
)

// tag returns the tag to publish under: the version's, or the one that ref names if
// it looks like no version.
func (m *folder) tag(r reference) (string, error) {
	given := r.Reference.Reference
	switch {
	case r.pinned():
		return "", fmt.Errorf("publish to %s: name a repository, without a digest", r)
	case given == "", given == m.spec.Version:
		return m.spec.Version, nil
	case given == tagLatest:
		return "", fmt.Errorf("publish to %s: the tag %s follows the newest version by itself: leave it out", r, tagLatest)
	case looksReleased(given):
		return "", fmt.Errorf("publish to %s: %s says version %s: leave the tag out, or change the version", r, module.SpecFile, m.spec.Version)
	}
	return given, nil
}

// looksReleased reports whether people would take a tag for a version or a part of
// one: 1.2.3, v1, 2.0-rc.1.
func looksReleased(tag string) bool {
	if tag[0] == 'v' || tag[0] == 'V' {
		tag = tag[1:]
	}
	return tag != "" && tag[0] >= '0' && tag[0] <= '9'
}

// follow moves the tags that follow versions to v, which is published as desc,
// where no newer release is there. It returns those it moved. Two publishers at the
// same moment may leave one of them behind: publishing again moves it.
func (p *publication) follow(ctx context.Context, desc ocispec.Descriptor, manifest []byte) ([]string, error) {
	v := p.module.version
	if !v.Release() {
		return nil, nil
	}
	releases, err := p.releases(ctx)
	if err != nil {
		return nil, err
	}
	var moved []string
	for _, tag := range floating(v, releases) {
		now, err := p.repo.Manifests().Resolve(ctx, tag)
		switch {
		case err == nil && now.Digest == desc.Digest:
			continue
		case err != nil && !errors.Is(err, errdef.ErrNotFound):
			return moved, err
		}
		if !p.dryRun {
			if err := p.setTag(ctx, tag, desc, manifest); err != nil {
				return moved, err
			}
		}
		moved = append(moved, tag)
	}
	return moved, nil
}

// floating returns the tags that should name release v: its minor's, its major's
// and latest, each if no newer one of releases has a claim to it.
func floating(v module.Version, releases []module.Version) []string {
	minor, major, latest := true, true, true
	for _, other := range releases {
		if v.CompareReleases(other) >= 0 {
			continue
		}
		latest = false
		major = major && other.Major != v.Major
		minor = minor && (other.Major != v.Major || other.Minor != v.Minor)
	}
	var tags []string
	if minor {
		tags = append(tags, v.Major+"."+v.Minor)
	}
	if major {
		tags = append(tags, v.Major)
	}
	if latest {
		tags = append(tags, tagLatest)
	}
	return tags
}

// releases returns the released versions among the repository's tags.
func (p *publication) releases(ctx context.Context) ([]module.Version, error) {
	var releases []module.Version
	err := p.repo.Tags(ctx, "", func(tags []string) error {
		for _, tag := range tags {
			if v, err := module.ParseVersion(tag); err == nil && v.Release() {
				releases = append(releases, v)
			}
		}
		return nil
	})
	if p.dryRun && notThere(err) {
		return nil, nil
	}
	return releases, err
}
