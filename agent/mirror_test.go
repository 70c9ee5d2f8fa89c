package agent

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"startup-bundle/internal/document"
)

// served moves m's bundle behind a server, which answers the first requests with wrong,
// and pins its digest.
func (m *machine) served(first int64, wrong func(w http.ResponseWriter, r *http.Request, data []byte)) *atomic.Int64 {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, "bundle"))
	if err != nil {
		m.t.Fatal(err)
	}
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) <= first {
			wrong(w, r, data)
			return
		}
		_, _ = w.Write(data)
	}))
	m.t.Cleanup(server.Close)
	text, err := os.ReadFile(m.userdata)
	if err != nil {
		m.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	url := "url: " + server.URL + "/b\nsha256: " + hex.EncodeToString(sum[:])
	m.write(m.userdata, strings.Replace(string(text), "url: file://"+filepath.Join(m.dir, "bundle"), url, 1), 0o600)
	return &count
}

// What the only mirror serves wrong is asked for again, like what it does not have yet.
func TestAWrongFileIsAskedForAgain(t *testing.T) {
	for name, wrong := range map[string]func(w http.ResponseWriter, r *http.Request, data []byte){
		"a page":      func(w http.ResponseWriter, _ *http.Request, _ []byte) { _, _ = w.Write([]byte("<html>log in</html>")) },
		"nothing":     func(http.ResponseWriter, *http.Request, []byte) {},
		"a beginning": func(w http.ResponseWriter, _ *http.Request, data []byte) { _, _ = w.Write(data[:len(data)/2]) },
		"one bit": func(w http.ResponseWriter, _ *http.Request, data []byte) {
			data = bytes.Clone(data)
			data[len(data)-20] ^= 1
			_, _ = w.Write(data)
		},
		"one bit of its key": func(w http.ResponseWriter, _ *http.Request, data []byte) { // looks like a wrong key
			data = bytes.Clone(data)
			data[bytes.IndexByte(data, '\n')+20] ^= 1
			_, _ = w.Write(data)
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request, data []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(data)
			_ = z.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"})
			count := m.served(1, wrong)
			m.want(CodeDone)
			m.logged("starting the bundle over")
			if count.Load() != 2 || m.read("ran") != "a\n" {
				t.Errorf("%d requests, ran %q", count.Load(), m.read("ran"))
			}
			if name == "compressed" {
				m.logged("Content-Encoding.*turn compression off")
			}
		})
	}
}

// The file that the userdata pins is not asked for again because it cannot be opened.
func TestThePinnedFileIsFinal(t *testing.T) {
	for name, spoil := range map[string]func(data []byte) []byte{
		"no bundle":      func([]byte) []byte { return []byte("<html>") },
		"damaged":        func(data []byte) []byte { data[len(data)-20] ^= 1; return data },
		"cut":            func(data []byte) []byte { return data[:len(data)-1] },
		"of another key": func(data []byte) []byte { data[bytes.IndexByte(data, '\n')+20] ^= 1; return data },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, document.Document{}, script{name: "a", start: "echo a >>$root/ran"})
			path := filepath.Join(m.dir, "bundle")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			m.write(path, string(spoil(data)), 0o600)
			count := m.served(0, nil)
			m.want(CodeOpen)
			if count.Load() != 1 || m.read("ran") != "" {
				t.Errorf("%d requests, ran %q", count.Load(), m.read("ran"))
			}
			if _, err := os.Stat(m.paths().Bundle()); err == nil {
				t.Error("something was unpacked")
			}
		})
	}
}
