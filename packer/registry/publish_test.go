package registry_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/packer/registry"
)

func TestWhatIsPublishedComesBack(t *testing.T) {
	s := newServer(t)
	dir := newModule(t, "1.2.3")
	p := publish(t, dir, s.ref("team/hello"))
	if want := []string{"1.2.3", "1.2", "1", "latest"}; !slices.Equal(p.Tags, want) {
		t.Errorf("tags %q, want %q", p.Tags, want)
	}
	c := registry.New(registry.Options{})
	for _, tag := range []string{":1.2.3", ":1.2", ":1", ":latest", "", "@" + p.Digest} {
		d, err := c.Resolve(t.Context(), s.ref("team/hello"+tag))
		if err != nil {
			t.Fatal(err)
		}
		want := registry.Descriptor{
			Ref: s.ref("team/hello@" + p.Digest), Digest: p.Digest, Name: "hello", Version: "1.2.3", Summary: "Says hello",
			OS: []string{"debian-12", "debian-13"}, TreeDigest: treeDigest(t, dir), Size: p.Size,
		}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tag, diff)
		}
	}
	parent := t.TempDir()
	dest := filepath.Join(parent, "new", "hello")
	if err := c.Pull(t.Context(), p.Ref, dest); err != nil {
		t.Fatal(err)
	}
	if got, want := treeDigest(t, dest), treeDigest(t, dir); got != want {
		t.Errorf("tree %s, want %s", got, want)
	}
}
