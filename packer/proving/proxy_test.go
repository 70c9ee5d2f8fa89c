package proving

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
)

// through returns a client of the proxy. near lets it reach loopback, where the
// tests' servers are.
func through(t *testing.T, folder string, near bool) *http.Client {
	t.Helper()
	p := newProxy(folder)
	if near {
		p.dialer.Control = nil
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(at), DisableKeepAlives: true}}
}

func get(t *testing.T, c *http.Client, url string) (int, string, error) {
	t.Helper()
	answer, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func TestProxyKeepsPackagesAndNothingElse(t *testing.T) {
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		if strings.HasPrefix(r.URL.Path, "/none") {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "content of "+r.URL.Path)
	}))
	defer server.Close()
	client := through(t, t.TempDir(), true)
	for path, want := range map[string]int{"/pool/a_1.deb": 1, "/dists/by-hash/SHA256/00": 1, "/dists/InRelease": 2, "/none.deb": 2} {
		for range 2 {
			code, body, err := get(t, client, server.URL+path)
			if err != nil {
				t.Fatal(err)
			}
			if (code != http.StatusOK || body != "content of "+path) && path != "/none.deb" {
				t.Errorf("%s: %d %q", path, code, body)
			}
			if path == "/none.deb" && code != http.StatusNotFound {
				t.Errorf("%s: %d", path, code)
			}
		}
		if asked[path] != want {
			t.Errorf("%s was asked for %d times, want %d", path, asked[path], want)
		}
	}
}

func TestProxyKeepsNoHalfPackage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	}))
	defer server.Close()
	folder := t.TempDir()
	client := through(t, folder, true)
	if _, _, err := get(t, client, server.URL+"/a.deb"); err == nil {
		t.Error("half a package was passed on as a whole one")
	}
	client.CloseIdleConnections()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".part-") {
			t.Errorf("%s was kept", e.Name())
		}
	}
}

func TestProxyTunnels(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "secret")
	}))
	defer server.Close()
	client := through(t, t.TempDir(), true)
	client.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	if code, body, err := get(t, client, server.URL); err != nil || code != http.StatusOK || body != "secret" {
		t.Errorf("%d %q %v", code, body, err)
	}
}

func TestProxyReachesNothingNear(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer server.Close()
	client := through(t, t.TempDir(), false)
	if code, body, err := get(t, client, server.URL); err != nil || code != http.StatusBadGateway || !strings.Contains(body, "out of a test machine's reach") {
		t.Errorf("%d %q %v", code, body, err)
	}
	if _, _, err := get(t, client, strings.Replace(server.URL, "http:", "https:", 1)); err == nil {
		t.Error("a tunnel was made")
	}
	for _, address := range []string{"169.254.169.254:80", "[fd00:ec2::254]:80", "[::ffff:127.0.0.1]:80", "0.0.0.0:80", "[fe80::1]:80", "x"} {
		if refuseNear("tcp", address, nil) == nil {
			t.Errorf("%s is not refused", address)
		}
	}
	for _, address := range []string{"192.0.2.1:80", "10.0.0.1:3128", "[2001:db8::1]:443"} {
		if err := refuseNear("tcp", address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestProxyIsNoServer(t *testing.T) {
	server := httptest.NewServer(newProxy(t.TempDir()))
	defer server.Close()
	if code, _, err := get(t, server.Client(), server.URL); err != nil || code != http.StatusBadRequest {
		t.Errorf("%d %v", code, err)
	}
}
