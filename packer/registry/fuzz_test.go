package registry

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"startup-bundle/internal/module"
)

// Whatever a registry calls a manifest, what is taken for a module has a name that
// can be a folder's, and digests that can be compared.
func FuzzReadManifest(f *testing.F) {
	sum := "sha256:" + strings.Repeat("0", 64)
	const negative = `"digest":"sha256:` + "0000000000000000000000000000000000000000000000000000000000000000" + `","size":-1`
	for _, seed := range []string{
		`{"artifactType":"` + ArtifactType + `","config":{"mediaType":"` + ConfigType + `",` + negative + `},"layers":[{"mediaType":"` + LayerType + `",` + negative + `}]}`,
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"` + ArtifactType + `","config":{"mediaType":"` + ConfigType + `","digest":"` + sum + `","size":2},` +
			`"layers":[{"mediaType":"` + LayerType + `","digest":"` + sum + `","size":1}],"annotations":{"org.opencontainers.image.title":"hello","org.opencontainers.image.version":"1.0.0",` +
			`"` + AnnotationTree + `":"` + sum + `","` + AnnotationOS + `":"debian-12,amzn"}}`,
		`{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
		`{"artifactType":"application/vnd.startup-bundle.module.v2"}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	ref, err := parse("oci://registry.example/team/hello:1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readManifest(ref, digest.FromBytes(text), text)
		if err != nil {
			return
		}
		if err := module.CheckName(a.Name); err != nil {
			t.Error(err)
		}
		if a.layer.Digest.Validate() != nil || a.config.Digest.Validate() != nil {
			t.Errorf("digests %q, %q", a.layer.Digest, a.config.Digest)
		}
		if a.layer.Size < 0 || a.config.Size < 0 {
			t.Errorf("sizes %d, %d", a.layer.Size, a.config.Size)
		}
	})
}

// What parses as a reference reads the same when it is written out.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"oci://h/r", "oci://h:1/r/s:t", "oci://[::1]:5000/r@sha256:" + strings.Repeat("a", 64), "oci://h/r:t@sha256:" + strings.Repeat("a", 64), "oci://u:p@h/r", "https://h/r", "oci://h/../r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := parse(text)
		if err != nil {
			return
		}
		again, err := parse(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q is %q, and that %q, %v", text, ref, again, err)
		}
	})
}
