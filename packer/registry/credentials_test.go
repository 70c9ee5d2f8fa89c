package registry_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/packer/registry"
)

const (
	user     = "somebody"
	password = "a password of this test"
	token    = "a-bearer-token-of-this-test"
)

// wantBasic lets requests with the user's password through.
func wantBasic(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if u, p, ok := r.BasicAuth(); ok && u == user && p == password {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
	refuse(w, r)
}

// refuse answers 401 as a careless registry would: it repeats what it was given.
func refuse(w http.ResponseWriter, r *http.Request) {
	_, given, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{
		"code": "UNAUTHORIZED", "message": strings.Repeat("long ", 46) + "\x1b[2J no entry with " + given + " in " + r.Header.Get("Authorization"),
	}}})
}

// wantBearer is a registry with a token service at /token, which wants the password.
func wantBearer(t *testing.T, s *server) {
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
				refuse(w, r)
				return
			}
			if scope := r.URL.Query().Get("scope"); !strings.HasPrefix(scope, "repository:team/hello:") {
				t.Errorf("a token for the scope %q", scope)
			}
			_, _ = fmt.Fprintf(w, `{"token": %q}`, token)
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="registry",scope="repository:team/hello:pull"`, s.host))
			refuse(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// login writes docker's config.json.
func login(t *testing.T, config string) {
	t.Helper()
	write(t, filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), config, 0o600)
}

func auths(host, user, password string) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// helper puts a credential helper called docker-credential-NAME into PATH. It
// writes its arguments and stdin to the file it returns.
func helper(t *testing.T, name, script string) (log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	write(t, filepath.Join(dir, "docker-credential-"+name),
		"#!/bin/sh\n{ echo \"arguments: $*\"; echo \"stdin: $(cat)\"; } >>'"+log+"'\n"+script, 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return log
}

func TestCredentials(t *testing.T) {
	give := fmt.Sprintf("echo '{\"Username\": %q, \"Secret\": %q}'\n", user, password)
	for name, x := range map[string]struct {
		config string // HOST stands for the registry's
		helper string
		fails  []string // what the error says; none: it works
	}{
		"in config.json":              {config: auths("HOST", user, password)},
		"in config.json, as a URL":    {config: auths("http://HOST/v2/", user, password)},
		"from the host's helper":      {config: `{"credHelpers": {"HOST": "test"}}`, helper: give},
		"from the store":              {config: `{"credsStore": "test"}`, helper: give},
		"none":                        {config: `{}`, fails: []string{"docker login HOST"}},
		"another host's":              {config: auths("registry.example", user, password), fails: []string{"docker login HOST"}},
		"a wrong password":            {config: auths("HOST", user, "wrong-and-secret"), fails: []string{"docker login HOST", "401"}},
		"an entry that is broken":     {config: `{"auths": {"HOST": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("wrong-and-secret")) + `"}}}`, fails: []string{"the credentials for HOST", "docker login HOST"}},
		"a config.json that is none":  {config: `wrong-and-secret`, fails: []string{"is no JSON"}},
		"a helper that fails":         {config: `{"credsStore": "test"}`, helper: "echo wrong-and-secret; exit 1\n", fails: []string{"the credentials for HOST", "docker-credential-NAME get"}},
		"a helper that knows nothing": {config: `{"credsStore": "test"}`, helper: "echo credentials not found in native keychain; exit 1\n", fails: []string{"docker login HOST"}},
		"a helper that is not there":  {config: `{"credsStore": "nowhere"}`, fails: []string{"the credentials for HOST"}},
	} {
		for _, scheme := range []string{"basic", "bearer"} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				s := newServer(t)
				s.around = wantBasic
				if scheme == "bearer" {
					wantBearer(t, s)
				}
				login(t, strings.ReplaceAll(x.config, "HOST", s.host))
				log := ""
				if x.helper != "" {
					log = helper(t, "test", x.helper)
				}
				c := registry.New(registry.Options{})
				p, err := c.Publish(t.Context(), newModule(t, "1.0.0"), s.ref("team/hello"), registry.PublishOptions{})
				if log != "" {
					text, _ := os.ReadFile(log)
					if want := "arguments: get\nstdin: " + s.host + "\n"; !strings.HasPrefix(string(text), want) {
						t.Errorf("the helper got %q, want %q", text, want)
					}
				}
				if x.fails == nil {
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Pull(t.Context(), p.Ref, filepath.Join(t.TempDir(), "hello")); err != nil {
						t.Fatal(err)
					}
					return
				}
				wantError(t, err, "publish module hello to")
				for _, words := range x.fails {
					wantError(t, err, strings.ReplaceAll(words, "HOST", s.host))
				}
				wantNoSecret(t, err)
				s.around = nil
				if _, err := c.Resolve(t.Context(), s.ref("team/hello")); err == nil {
					t.Error("it is published all the same")
				}
			})
		}
	}
}

func wantNoSecret(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsRune(err.Error(), 0x1b) {
		t.Errorf("the error can move the cursor: %q", err)
	}
	for _, given := range []string{password, token, "wrong-and-secret"} {
		for _, form := range []string{given, base64.StdEncoding.EncodeToString([]byte(user + ":" + given)), base64.StdEncoding.EncodeToString([]byte(given))} {
			if strings.Contains(err.Error(), form[:min(len(form), 9)]) { // a part is too much
				t.Errorf("the error repeats %q:\n%v", form, err)
			}
		}
	}
}

// Storage that a registry redirects to gets no credentials of the registry, and the
// signature in its address is in no error.
func TestRedirectsToStorage(t *testing.T) {
	s := newServer(t)
	s.around = wantBasic
	login(t, auths(s.host, user, password))
	p := publish(t, newModule(t, "1.0.0"), s.ref("team/hello"))
	storage := newServer(t)
	login(t, auths(s.host, user, password))
	broken, short := true, false
	storage.around = func(_ http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the storage was given credentials")
		}
		if broken {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		if short {
			_, _ = io.WriteString(w, "short")
			return
		}
		r.URL.RawQuery = ""
		s.next.ServeHTTP(w, r)
	}
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, "http://"+storage.host+r.URL.Path+"?X-Amz-Signature=5167a7", http.StatusTemporaryRedirect)
			return
		}
		wantBasic(next, w, r)
	}
	parent := t.TempDir()
	for _, words := range []string{"403", "mismatch Content-Length"} {
		err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello"))
		wantError(t, err, words)
		if strings.Contains(err.Error(), "5167a7") {
			t.Errorf("the error repeats the signature: %v", err)
		}
		wantEmpty(t, parent)
		broken, short = false, true
	}
	short = false
	if err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, filepath.Join(parent, "hello")); err != nil {
		t.Error(err)
	}
}

// A token that the registry gave and then refuses is in no error.
func TestATokenIsNotRepeated(t *testing.T) {
	s := newServer(t)
	wantBearer(t, s)
	with := s.around
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+token {
			refuse(w, r)
			return
		}
		with(next, w, r)
	}
	login(t, auths(s.host, user, password))
	_, err := registry.New(registry.Options{}).Resolve(t.Context(), s.ref("team/hello"))
	wantError(t, err, "401", "docker login")
	wantNoSecret(t, err)
}

func TestARegistryThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ref := "oci://" + l.Addr().String() + "/team/hello"
	l.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	c := registry.New(registry.Options{})
	_, err = c.Publish(t.Context(), newModule(t, "1.0.0"), ref, registry.PublishOptions{})
	wantError(t, err, "publish module hello to "+ref, "cannot be reached", "connection refused", "check the host")
	parent := t.TempDir()
	err = c.Pull(t.Context(), ref+"@sha256:"+strings.Repeat("0", 64), filepath.Join(parent, "hello"))
	wantError(t, err, "pull "+ref, "cannot be reached")
	wantEmpty(t, parent)
}

// Only this machine is spoken to in clear: 0.0.0.0 reaches it and is no loopback.
func TestHTTPIsForLoopback(t *testing.T) {
	s := newServer(t)
	p := publish(t, newModule(t, "1.0.0"), s.ref("hello"))
	_, port, _ := net.SplitHostPort(s.host)
	ref := "oci://0.0.0.0:" + port + "/hello:1"
	_, err := registry.New(registry.Options{}).Resolve(t.Context(), ref)
	wantError(t, err, "speaks no https: --plain-http allows http")
	d, err := registry.New(registry.Options{PlainHTTP: true}).Resolve(t.Context(), ref)
	if err != nil || d.Digest != p.Digest {
		t.Errorf("with PlainHTTP: %+v, %v", d, err)
	}
}

func TestABusyRegistryIsAskedAgain(t *testing.T) {
	s := newServer(t)
	busy := map[string]int{}
	s.around = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if busy[r.Method]++; busy[r.Method] == 1 {
			if r.Body != nil {
				_, _ = r.Body.Read(make([]byte, 100)) // some of an upload is gone
			}
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	}
	dir := newModule(t, "1.0.0")
	p := publish(t, dir, s.ref("hello"))
	dest := filepath.Join(t.TempDir(), "hello")
	if err := registry.New(registry.Options{}).Pull(t.Context(), p.Ref, dest); err != nil {
		t.Fatal(err)
	}
	if treeDigest(t, dest) != treeDigest(t, dir) {
		t.Error("another tree")
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
		if busy[method] < 2 {
			t.Errorf("%s was tried %d times", method, busy[method])
		}
	}
}
