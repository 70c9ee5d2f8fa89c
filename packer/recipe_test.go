package packer_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
	"startup-bundle/packer"
)

const noBundleHere = 12 // the script's exit code if no URL answers

// The script takes a bundle from https to nowhere but https: openssl's format has no
// integrity, so the transport is all that vouches for it. What ~/.curlrc says does not count.
func TestTheScriptsCurlStaysWithHTTPS(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	var plainly, safely atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plainly.Add(1)
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "no bundle")
	}))
	defer plain.Close()
	safe := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		safely.Add(1)
		switch r.URL.Path {
		case "/down":
			http.Redirect(w, r, plain.URL+"/b", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			http.Redirect(w, r, "file:///etc/hostname", http.StatusFound)
		case "/over":
			http.Redirect(w, r, "/b[1-2]{a,b}", http.StatusFound)
		default:
			_, _ = io.WriteString(w, "no bundle")
		}
	}))
	safe.Config.ErrorLog = log.New(io.Discard, "", 0)
	safe.StartTLS()
	defer safe.Close()
	upper := strings.Replace(safe.URL, "https", "HTTPS", 1)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: safe.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte("insecure\nproto =all\nproto-redir =all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		url, ca, sha256 string
		code            int // 13: something was fetched, which is no bundle
		plain           int64
	}{
		"https":                       {url: safe.URL + "/b", ca: ca, code: 13},
		"HTTPS":                       {url: upper + "/b", ca: ca, code: 13},
		"https to https":              {url: safe.URL + "/over", ca: ca, code: 13},
		"a URL with globs":            {url: safe.URL + "/b[1-2]{a,b}", ca: ca, code: 13},
		"https to http":               {url: safe.URL + "/down", ca: ca, code: noBundleHere},
		"HTTPS to http":               {url: upper + "/down", ca: ca, code: noBundleHere},
		"https to http, pinned":       {url: safe.URL + "/down", ca: ca, sha256: digest, code: noBundleHere},
		"https to a file":             {url: safe.URL + "/file", ca: ca, code: noBundleHere},
		"a loop":                      {url: safe.URL + "/loop", ca: ca, code: noBundleHere},
		"https without its authority": {url: safe.URL + "/b", ca: "/dev/null", code: noBundleHere},
		"http to http, pinned":        {url: plain.URL + "/away", sha256: digest, code: 13, plain: 2},
	} {
		t.Run(name, func(t *testing.T) {
			plainly.Store(0)
			safely.Store(0)
			text, err := packer.Script(document.Document{URLs: []string{test.url}, SHA256: test.sha256, Key: secret.New("passphrase")})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			run := exec.CommandContext(ctx, "bash", "-s")
			run.Stdin = strings.NewReader(string(text))
			run.Env = []string{"HOME=" + dir, "TMPDIR=" + t.TempDir(), "CURL_CA_BUNDLE=" + test.ca, "SSL_CERT_FILE=" + test.ca}
			out, err := run.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.code {
				t.Errorf("got %v, want exit code %d: %s", err, test.code, out)
			}
			if plainly.Load() != test.plain {
				t.Errorf("%d requests by plain http", plainly.Load())
			}
			if safely.Load() > 6 {
				t.Errorf("%d requests", safely.Load())
			}
			if strings.Contains(string(out), "passphrase") {
				t.Errorf("it shows the passphrase: %s", out)
			}
		})
	}
}

func TestAScriptFromPlainHTTPNeedsADigest(t *testing.T) {
	for _, url := range []string{"http://bucket.example/b", "HTTP://bucket.example/b", "Http://bucket.example/b"} {
		text, err := packer.Script(document.Document{URLs: []string{url}, Key: secret.New("passphrase")})
		if err == nil || len(text) > 0 {
			t.Errorf("%s is taken", url)
		}
	}
}
