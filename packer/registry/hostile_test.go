package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"startup-bundle/internal/bundle"
	"startup-bundle/packer/registry"
)

// put stores bytes in the registry as a stranger would: a manifest under a tag, or
// a blob.
func (s *server) put(t *testing.T, repo, tag, mediaType string, content []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", s.host, repo, tag)
	method := http.MethodPut
	if tag == "" {
		url, method = fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?digest=%s", s.host, repo, d.Digest), http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s %s", method, url, resp.Status, text)
	}
	return d
}

func (s *server) putManifest(t *testing.T, repo, tag string, m any, mediaType string) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return s.put(t, repo, tag, mediaType, text)
}

func TestStrangersArtifactsAreNamed(t *testing.T) {
	const (
		dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
		dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	)
	s := newServer(t)
	blob := s.put(t, "x", "", "text/plain", []byte("something"))
	layers := []ocispec.Descriptor{blob}
	config := func(mediaType string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: blob.Digest, Size: blob.Size}
	}
	for name, x := range map[string]struct {
		manifest  any
		mediaType string
		word      string
	}{
		"an OCI image":     {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config(ocispec.MediaTypeImageConfig), Layers: layers}, ocispec.MediaTypeImageManifest, "a container image"},
		"a docker image":   {ocispec.Manifest{MediaType: dockerManifest, Config: config("application/vnd.docker.container.image.v1+json"), Layers: layers}, dockerManifest, "a container image"},
		"an OCI index":     {ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}, ocispec.MediaTypeImageIndex, "an image index"},
		"a docker list":    {ocispec.Index{MediaType: dockerList, Manifests: []ocispec.Descriptor{}}, dockerList, "an image index"},
		"a chart":          {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config("application/vnd.cncf.helm.config.v1+json"), Layers: layers}, ocispec.MediaTypeImageManifest, `whose config is of the type "application/vnd.cncf.helm`},
		"a signature":      {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.dev.sig", Config: config("application/vnd.oci.empty.v1+json"), Layers: layers}, ocispec.MediaTypeImageManifest, `an artifact of the type "application/vnd.dev.sig"`},
		"of the future":    {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.startup-bundle.module.v2", Config: config(registry.ConfigType), Layers: layers}, ocispec.MediaTypeImageManifest, "use a newer startup-packer"},
		"two layers":       {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: registry.ArtifactType, Config: config(registry.ConfigType), Layers: append(layers, layers...)}, ocispec.MediaTypeImageManifest, "has not one layer"},
		"a hostile title":  {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: registry.ArtifactType, Config: config(registry.ConfigType), Layers: []ocispec.Descriptor{config(registry.LayerType)}, Annotations: map[string]string{"org.opencontainers.image.title": "../up"}}, ocispec.MediaTypeImageManifest, "its title: module name"},
		"a hostile digest": {ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: registry.ArtifactType, Config: config(registry.ConfigType), Layers: []ocispec.Descriptor{config(registry.LayerType)}, Annotations: map[string]string{registry.AnnotationTree: "sha256:\x1b[2J"}}, ocispec.MediaTypeImageManifest, "is no sha256 digest"},
	} {
		t.Run(name, func(t *testing.T) {
			d := s.putManifest(t, "x", "1", x.manifest, x.mediaType)
			c := registry.New(registry.Options{})
			_, err := c.Resolve(t.Context(), s.ref("x:1"))
			wantError(t, err, "look up "+s.ref("x:1"), x.word)
			if !errors.Is(err, registry.ErrNotModule) {
				t.Errorf("not ErrNotModule: %v", err)
			}
			parent := t.TempDir()
			err = c.Pull(t.Context(), s.ref("x@"+d.Digest.String()), filepath.Join(parent, "x"))
			wantError(t, err, x.word)
			wantEmpty(t, parent)
			if _, err := c.Publish(t.Context(), newModule(t, "1.0.0"), s.ref("x:edge"), registry.PublishOptions{}); err != nil {
				t.Errorf("beside it: %v", err)
			}
		})
	}
	s.putManifest(t, "x", "9.0.0", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}, ocispec.MediaTypeImageIndex)
	_, err := registry.New(registry.Options{}).Publish(t.Context(), newModule(t, "9.0.0"), s.ref("x"), registry.PublishOptions{})
	wantError(t, err, "its tag 9.0.0 is taken by sha256:", "an image index")
}

// tamper answers GETs whose path holds part with body in place of what is stored;
// its digest header is that of the truth, of the lie, or absent.
func tamper(part string, change func([]byte) []byte, header string) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, part) {
			next.ServeHTTP(w, r)
			return
		}
		stored := httptest.NewRecorder()
		next.ServeHTTP(stored, r)
		body := change(bytes.Clone(stored.Body.Bytes()))
		for key, values := range stored.Header() {
			w.Header()[key] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		switch header {
		case lie:
			w.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
		case absent:
			w.Header().Del("Docker-Content-Digest")
		}
		_, _ = w.Write(body)
	}
}

const truth, lie, absent = "truth", "lie", "absent"

func flipLast(b []byte) []byte {
	b[len(b)-1] ^= 1
	return b
}

func TestARegistryThatTampersIsFoundOut(t *testing.T) {
	for name, x := range map[string]struct {
		part   string // of the request's path; LAYER stands for its digest
		change func([]byte) []byte
		header string
		words  []string
	}{
		"another manifest":                 {"/manifests/", flipLast, truth, []string{"its manifest is sha256:", "should be MANIFEST"}},
		"another manifest, its own digest": {"/manifests/", flipLast, lie, []string{"digest mismatch", `received "sha256:`, `expecting "MANIFEST"`}},
		"another manifest, no digest":      {"/manifests/", flipLast, absent, []string{"digest mismatch", `received "sha256:`, `expecting "MANIFEST"`}},
		"a large manifest":                 {"/manifests/", func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), 5<<20)...) }, truth, []string{"its manifest is larger than the 4194304 bytes"}},
		"a web page for a manifest":        {"/manifests/", func([]byte) []byte { return []byte("<html>log in</html>") }, truth, []string{"its manifest is sha256:", "should be MANIFEST"}},
		"another layer":                    {"/blobs/LAYER", flipLast, truth, []string{"pull module hello from", "its layer is sha256:", "should be LAYER"}},
		"another layer, its own digest":    {"/blobs/LAYER", flipLast, lie, []string{"pull module hello from", "LAYER", "sha256:"}},
		"another layer, no digest":         {"/blobs/LAYER", flipLast, absent, []string{"pull module hello from", "its layer is sha256:", "should be LAYER"}},
		"a shorter layer":                  {"/blobs/LAYER", func(b []byte) []byte { return b[:len(b)/2] }, truth, []string{"pull module hello from", "mismatch Content-Length"}},
		"a longer layer":                   {"/blobs/LAYER", func(b []byte) []byte { return append(b, 0) }, truth, []string{"pull module hello from", "mismatch Content-Length"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			p := publish(t, newModule(t, "1.0.0"), s.ref("team/hello"))
			layer := s.layerOf(t, "team/hello", p.Digest)
			fill := strings.NewReplacer("LAYER", layer, "MANIFEST", p.Digest)
			s.around = tamper(fill.Replace(x.part), x.change, x.header)
			parent := t.TempDir()
			err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello"))
			for i := range x.words {
				x.words[i] = fill.Replace(x.words[i])
			}
			wantError(t, err, append(x.words, "hello")...)
			wantEmpty(t, parent)
			s.around = nil
			if err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello")); err != nil {
				t.Errorf("and without it: %v", err)
			}
		})
	}
}

func (s *server) layerOf(t *testing.T, repo, manifest string) string {
	t.Helper()
	resp, err := http.Get("http://" + s.host + "/v2/" + repo + "/manifests/" + manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m ocispec.Manifest
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || len(m.Layers) != 1 {
		t.Fatalf("%v, %+v", err, m)
	}
	return m.Layers[0].Digest.String()
}

// A moved tag gives another digest, and what was pinned stays what it was.
func TestAMovedTagChangesNoPin(t *testing.T) {
	s := newServer(t)
	c := registry.New(registry.Options{})
	first := publish(t, newModule(t, "1.0.0"), s.ref("hello:edge"))
	dir := newModule(t, "1.0.0")
	write(t, filepath.Join(dir, "start"), "#!/bin/sh\necho moved\n", 0o755)
	second := publish(t, dir, s.ref("hello:edge"))
	d, err := c.Resolve(t.Context(), s.ref("hello:edge"))
	if err != nil || d.Digest != second.Digest || first.Digest == second.Digest {
		t.Fatalf("the tag is %s, %v", d.Digest, err)
	}
	dest := filepath.Join(t.TempDir(), "hello")
	if err := c.Pull(t.Context(), first.Ref, dest); err != nil {
		t.Fatal(err)
	}
	if got := treeDigest(t, dest); got != first.TreeDigest {
		t.Errorf("tree %s, want %s", got, first.TreeDigest)
	}
	parent := t.TempDir()
	wantError(t, c.Pull(t.Context(), s.ref("hello:edge"), filepath.Join(parent, "hello")), "name it by digest")
	wantEmpty(t, parent)
}

// lie publishes a manifest that a stranger changed, digests and all.
func (s *server) lie(t *testing.T, p *registry.Published, change func(*ocispec.Manifest)) string {
	t.Helper()
	resp, err := http.Get("http://" + s.host + "/v2/hello/manifests/" + p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m ocispec.Manifest
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	d := s.putManifest(t, "hello", "lie", m, ocispec.MediaTypeImageManifest)
	return s.ref("hello@" + d.Digest.String())
}

func TestAManifestThatLiesIsFoundOut(t *testing.T) {
	zero := "sha256:" + strings.Repeat("0", 64)
	for name, x := range map[string]struct {
		change func(*testing.T, *server, *ocispec.Manifest)
		limits bundle.Limits
		words  []string
	}{
		"of the tree": {func(_ *testing.T, _ *server, m *ocispec.Manifest) { m.Annotations[registry.AnnotationTree] = zero }, bundle.Limits{}, []string{"its tree is TREE", "should be " + zero}},
		"of the version": {func(_ *testing.T, _ *server, m *ocispec.Manifest) {
			m.Annotations["org.opencontainers.image.version"] = "2.0.0"
		}, bundle.Limits{}, []string{`published as version "2.0.0"`, `says "1.0.0"`}},
		"of the options": {func(t *testing.T, s *server, m *ocispec.Manifest) {
			m.Config = s.put(t, "hello", "", registry.ConfigType, []byte("version: 1.0.0\n"))
		}, bundle.Limits{}, []string{"its module.yaml is sha256:", "should be sha256:"}},
		"of the layer's size": {func(_ *testing.T, _ *server, m *ocispec.Manifest) { m.Layers[0].Size = 1 << 40 }, bundle.Limits{}, []string{"its layer is of 1099511627776 bytes"}},
		"in a layer that is no archive": {func(t *testing.T, s *server, m *ocispec.Manifest) {
			m.Layers[0] = s.put(t, "hello", "", registry.LayerType, []byte("nothing"))
		}, bundle.Limits{}, []string{"not a bundle this version can read"}},
		"beyond the limit of bytes": {func(*testing.T, *server, *ocispec.Manifest) {}, bundle.Limits{Bytes: 4000}, []string{"it unpacks to more than 4000 bytes"}},
		"beyond the limit of files": {func(*testing.T, *server, *ocispec.Manifest) {}, bundle.Limits{Files: 2}, []string{"it holds more than 2 files"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			p := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
			ref := s.lie(t, p, func(m *ocispec.Manifest) { x.change(t, s, m) })
			parent := t.TempDir()
			err := registry.New(registry.Options{Limits: x.limits}).Pull(t.Context(), ref, filepath.Join(parent, "hello"))
			for i := range x.words {
				x.words[i] = strings.ReplaceAll(x.words[i], "TREE", p.TreeDigest)
			}
			wantError(t, err, append(x.words, "pull module hello from "+ref)...)
			wantEmpty(t, parent)
		})
	}
}

func TestADescriptionThatLiesIsFoundOut(t *testing.T) {
	s := newServer(t)
	p := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
	c := registry.New(registry.Options{})
	_, _, err := c.Describe(t.Context(), s.lie(t, p, func(m *ocispec.Manifest) { m.Config.Size = 1 << 40 }))
	wantError(t, err, "read the options of module hello in", "its module.yaml is larger than the 65536 bytes")
	_, _, err = c.Describe(t.Context(), s.lie(t, p, func(m *ocispec.Manifest) {
		m.Config = s.put(t, "hello", "", registry.ConfigType, []byte("version: 2.0.0\n"))
	}))
	wantError(t, err, `published as version "1.0.0"`, `says "2.0.0"`)
	var config string
	s.lie(t, p, func(m *ocispec.Manifest) { config = m.Config.Digest.String() })
	s.around = tamper("/blobs/"+config, flipLast, absent)
	_, _, err = c.Describe(t.Context(), s.ref("hello:1.0.0"))
	wantError(t, err, "its config is sha256:", "should be "+config)
	if !errors.Is(err, registry.ErrMismatch) {
		t.Errorf("not ErrMismatch: %v", err)
	}
}

// A transfer that breaks off half-way is begun again; one that always does, fails.
func TestABrokenTransfer(t *testing.T) {
	for _, breaks := range []int{1, 99} {
		t.Run(fmt.Sprintf("%d times", breaks), func(t *testing.T) {
			s := newServer(t)
			p := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
			layer := s.layerOf(t, "hello", p.Digest)
			broken := 0
			s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.URL.Path, layer) || broken >= breaks {
					next.ServeHTTP(w, r)
					return
				}
				broken++
				w.Header().Set("Content-Length", strconv.FormatInt(p.Size, 10))
				_, _ = w.Write(make([]byte, p.Size/2))
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			parent := t.TempDir()
			err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello"))
			if breaks == 1 {
				if err != nil || broken != 1 {
					t.Errorf("%d breaks, %v", broken, err)
				}
				return
			}
			wantError(t, err, "pull module hello", "its layer broke off after", "bytes")
			wantEmpty(t, parent)
			if broken != 3 {
				t.Errorf("%d tries, want 3", broken)
			}
		})
	}
}

// Without a Content-Length only the bytes themselves can tell.
func TestALayerOfUnsaidLength(t *testing.T) {
	for name, x := range map[string]struct {
		change func([]byte) []byte
		words  []string
	}{
		"too short": {func(b []byte) []byte { return b[:len(b)/2] }, []string{"its layer ends after"}},
		"too long":  {func(b []byte) []byte { return append(b, 0) }, []string{"its layer is longer than"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			p := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
			layer := s.layerOf(t, "hello", p.Digest)
			s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, layer) {
					next.ServeHTTP(w, r)
					return
				}
				stored := httptest.NewRecorder()
				next.ServeHTTP(stored, r)
				_ = http.NewResponseController(w).Flush()
				_, _ = w.Write(x.change(bytes.Clone(stored.Body.Bytes())))
			}
			parent := t.TempDir()
			err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello"))
			wantError(t, err, append(x.words, "pull module hello", "sha256:", "should be "+layer)...)
			if !errors.Is(err, registry.ErrMismatch) {
				t.Errorf("not ErrMismatch: %v", err)
			}
			wantEmpty(t, parent)
		})
	}
}

func TestATransferThatStandsStillEnds(t *testing.T) {
	s := newServer(t)
	p := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
	layer := s.layerOf(t, "hello", p.Digest)
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, layer) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(p.Size, 10))
		_, _ = w.Write(make([]byte, 10))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	parent := t.TempDir()
	err := registry.New(registry.Options{Stall: 50 * time.Millisecond}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello"))
	wantError(t, err, "pull module hello", "nothing moved for 50ms")
	wantEmpty(t, parent)
}
