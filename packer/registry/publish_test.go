package registry_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	dest := filepath.Join(t.TempDir(), "new", "hello")
	if err := c.Pull(t.Context(), p.Ref, dest); err != nil {
		t.Fatal(err)
	}
	if got, want := treeDigest(t, dest), treeDigest(t, dir); got != want {
		t.Errorf("tree %s, want %s", got, want)
	}
	if entries, err := os.ReadDir(filepath.Dir(dest)); err != nil || len(entries) != 1 {
		t.Errorf("beside the module: %v, %v", entries, err)
	}
	if err := c.Pull(t.Context(), p.Ref, dest); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second pull to the same folder: %v", err)
	}
}

func TestTheDescriptionNeedsNoLayer(t *testing.T) {
	s := newServer(t)
	p := publish(t, newModule(t, "1.2.3"), s.ref("hello"))
	blobs := 0
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			blobs++
		}
		next.ServeHTTP(w, r)
	}
	d, spec, err := registry.New(registry.Options{}).Describe(t.Context(), s.ref("hello:1"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Digest != p.Digest || spec.Options["greeting"].Help != "What to say" {
		t.Errorf("described %+v, %+v", d, spec)
	}
	if blobs != 1 {
		t.Errorf("%d blobs were fetched, want the config alone", blobs)
	}
}

func TestTheSameFolderHasTheSameDigest(t *testing.T) {
	digests := map[string]bool{}
	for range 2 {
		s := newServer(t)
		dir := newModule(t, "1.2.3")
		if err := os.Chtimes(filepath.Join(dir, "start"), time.Now(), time.Unix(int64(len(digests)*1000), 0)); err != nil {
			t.Fatal(err)
		}
		digests[publish(t, dir, s.ref("hello")).Digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("two digests: %v", digests)
	}
	s := newServer(t)
	at := time.Unix(1_700_000_000, 0)
	p, err := registry.New(registry.Options{}).Publish(t.Context(), newModule(t, "1.2.3"), s.ref("hello"), registry.PublishOptions{ModTime: at})
	if err != nil {
		t.Fatal(err)
	}
	if digests[p.Digest] || !p.Created.Equal(at) {
		t.Errorf("with a time of its own: %s, created %s", p.Digest, p.Created)
	}
}

func TestTagsFollowTheNewestRelease(t *testing.T) {
	s := newServer(t)
	const repo = "team/hello"
	for _, step := range []struct {
		version, tag string
		tags         []string // set by it
		follow       string   // what 1, 1.1, latest name afterwards
	}{
		{"1.1.0", "", []string{"1.1.0", "1.1", "1", "latest"}, "1.1.0 1.1.0 1.1.0"},
		{"1.2.0", "", []string{"1.2.0", "1.2", "1", "latest"}, "1.2.0 1.1.0 1.2.0"},
		{"1.1.9", "", []string{"1.1.9", "1.1"}, "1.2.0 1.1.9 1.2.0"},
		{"1.1.10", ":1.1.10", []string{"1.1.10", "1.1"}, "1.2.0 1.1.10 1.2.0"},
		{"1.1.9", "", nil, "1.2.0 1.1.10 1.2.0"},
		{"2.0.0-rc.1", "", []string{"2.0.0-rc.1"}, "1.2.0 1.1.10 1.2.0"},
		{"1.3.0", ":edge", []string{"edge"}, "1.2.0 1.1.10 1.2.0"},
		{"2.0.0", "", []string{"2.0.0", "2.0", "2", "latest"}, "1.2.0 1.1.10 2.0.0"},
		{"1.10.0", "", []string{"1.10.0", "1.10", "1"}, "1.10.0 1.1.10 2.0.0"},
		{"1.9.0", ":edge", []string{"edge"}, "1.10.0 1.1.10 2.0.0"},
		{"1.9.0", ":edge", nil, "1.10.0 1.1.10 2.0.0"},
	} {
		p := publish(t, newModule(t, step.version), s.ref(repo+step.tag))
		if !slices.Equal(p.Tags, step.tags) {
			t.Errorf("%s%s: tags %q, want %q", step.version, step.tag, p.Tags, step.tags)
		}
		if want := step.tags != nil; p.Uploaded != want {
			t.Errorf("%s%s: uploaded is %v", step.version, step.tag, p.Uploaded)
		}
		var follow []string
		for _, tag := range []string{"1", "1.1", "latest"} {
			d, err := registry.New(registry.Options{}).Resolve(t.Context(), s.ref(repo+":"+tag))
			if err != nil {
				t.Fatal(err)
			}
			follow = append(follow, d.Version)
		}
		if got := strings.Join(follow, " "); got != step.follow {
			t.Errorf("after %s%s the tags 1, 1.1, latest are %s, want %s", step.version, step.tag, got, step.follow)
		}
	}
}

func TestAVersionIsPublishedOnce(t *testing.T) {
	s := newServer(t)
	first := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
	other := newModule(t, "1.0.0")
	write(t, filepath.Join(other, "start"), "#!/bin/sh\necho other\n", 0o755)
	changes := 0
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			changes++
		}
		next.ServeHTTP(w, r)
	}
	_, err := registry.New(registry.Options{}).Publish(t.Context(), other, s.ref("hello"), registry.PublishOptions{})
	wantError(t, err, "publish module hello to", "1.0.0 is "+first.Digest, treeDigest(t, other), "raise the version in module.yaml")
	if !errors.Is(err, registry.ErrPublished) {
		t.Errorf("not ErrPublished: %v", err)
	}
	again, err := registry.New(registry.Options{}).Publish(t.Context(), newModule(t, "1.0.0"), s.ref("hello"), registry.PublishOptions{})
	if err != nil || again.Uploaded || again.Digest != first.Digest || len(again.Tags) != 0 {
		t.Errorf("the same content again: %+v, %v", again, err)
	}
	if changes != 0 {
		t.Errorf("%d requests would change something", changes)
	}
}

// A packer that compresses in another way makes another layer of the same folder.
func TestTheSameContentInAnotherArchiveIsTheSame(t *testing.T) {
	s := newServer(t)
	first := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
	o := registry.PublishOptions{ModTime: time.Unix(1, 0)}
	again, err := registry.New(registry.Options{}).Publish(t.Context(), newModule(t, "1.0.0"), s.ref("hello"), o)
	if err != nil || again.Uploaded || again.Digest != first.Digest {
		t.Errorf("got %+v, %v", again, err)
	}
}

func TestTagsThatWereLeftBehindAreMoved(t *testing.T) {
	s := newServer(t)
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/1") {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}
	dir := newModule(t, "1.0.0")
	_, err := registry.New(registry.Options{}).Publish(t.Context(), dir, s.ref("hello"), registry.PublishOptions{})
	wantError(t, err, "1.0.0 is there as sha256:", "set the tag 1 to", "publish again")
	s.around = nil
	if p := publish(t, dir, s.ref("hello")); p.Uploaded || !slices.Equal(p.Tags, []string{"1", "latest"}) {
		t.Errorf("got %+v", p)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	s := newServer(t)
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		next.ServeHTTP(w, r)
	}
	c := registry.New(registry.Options{})
	p, err := c.Publish(t.Context(), newModule(t, "1.0.0"), s.ref("hello"), registry.PublishOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"1.0.0", "1.0", "1", "latest"}; !slices.Equal(p.Tags, want) || !p.DryRun {
		t.Errorf("got %+v", p)
	}
	if _, err := c.Resolve(t.Context(), s.ref("hello")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
}

func TestWhatIsNotPublished(t *testing.T) {
	for name, x := range map[string]struct {
		version, ref string
		words        []string
	}{
		"no version":           {"", "hello", []string{"module hello has no version", "version: 1.0.0"}},
		"another version":      {"1.0.0", "hello:1.0.1", []string{"module.yaml says version 1.0.0"}},
		"a part of it":         {"1.0.0", "hello:1.0", []string{"module.yaml says version 1.0.0"}},
		"with a v":             {"1.0.0", "hello:v1.0.0", []string{"module.yaml says version 1.0.0"}},
		"latest":               {"1.0.0", "hello:latest", []string{"follows the newest version by itself"}},
		"a digest":             {"1.0.0", "hello@sha256:" + strings.Repeat("0", 64), []string{"without a digest"}},
		"capitals":             {"1.0.0", "Hello", []string{"in small letters"}},
		"no repository":        {"1.0.0", "", []string{"write it as oci://HOST/REPOSITORY:TAG"}},
		"another digest's sum": {"1.0.0", "hello@sha512:00", []string{"a digest is written @sha256:"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			requests := 0
			s.around = func(http.Handler, http.ResponseWriter, *http.Request) { requests++ }
			dir := newModule(t, "1.0.0")
			if x.version == "" {
				write(t, filepath.Join(dir, "module.yaml"), "summary: none\n", 0o644)
			}
			_, err := registry.New(registry.Options{}).Publish(t.Context(), dir, s.ref(x.ref), registry.PublishOptions{})
			wantError(t, err, x.words...)
			if requests != 0 {
				t.Errorf("%d requests were made", requests)
			}
		})
	}
	_, err := registry.New(registry.Options{}).Resolve(t.Context(), "oci://user:hunter2@registry.example/hello:1")
	wantError(t, err, "no credentials")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error repeats the password: %v", err)
	}
}

func TestARepositoryOfAnotherNameIsWarnedOf(t *testing.T) {
	s := newServer(t)
	p := publish(t, newModule(t, "1.0.0"), s.ref("team/startup-hello"))
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "the module is called hello") {
		t.Errorf("warnings: %q", p.Warnings)
	}
	if p := publish(t, newModule(t, "1.0.0"), s.ref("team/hello")); len(p.Warnings) != 0 {
		t.Errorf("warnings: %q", p.Warnings)
	}
}
