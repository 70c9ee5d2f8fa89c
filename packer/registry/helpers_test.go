package registry_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	memory "github.com/google/go-containerregistry/pkg/registry"

	"startup-bundle/internal/bundle"
	"startup-bundle/packer/registry"
)

// server is a registry in memory. around, if not nil, stands before it.
type server struct {
	host   string // HOST:PORT
	next   http.Handler
	around func(next http.Handler, w http.ResponseWriter, r *http.Request)
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{next: memory.New(memory.Logger(log.New(io.Discard, "", 0)))}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.around != nil {
			s.around(s.next, w, r)
			return
		}
		s.next.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	s.host = strings.TrimPrefix(h.URL, "http://")
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // nobody's real credentials
	return s
}

func (s *server) ref(rest string) string { return "oci://" + s.host + "/" + rest }

// newModule makes the folder of a module called hello of some version.
func newModule(t *testing.T, version string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hello")
	write(t, filepath.Join(dir, "start"), "#!/bin/sh\necho hello\n", 0o755)
	write(t, filepath.Join(dir, "module.yaml"), "version: "+version+"\nsummary: Says hello\nos: [debian-12, debian-13]\noptions:\n  greeting: {default: hi, help: What to say}\n", 0o644)
	write(t, filepath.Join(dir, "files/deep/data"), strings.Repeat("data\n", 1000), 0o644)
	if err := os.Symlink("files/deep/data", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func treeDigest(t *testing.T, dir string) string {
	t.Helper()
	tree, err := bundle.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree.Digest()
}

func publish(t *testing.T, dir, ref string) *registry.Published {
	t.Helper()
	p, err := registry.New(registry.Options{}).Publish(t.Context(), dir, ref, registry.PublishOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantEmpty asserts that nothing is in dir: neither what was asked for nor leavings.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}

// wantError asserts that err says all of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q:\n%v", w, err)
		}
	}
}
