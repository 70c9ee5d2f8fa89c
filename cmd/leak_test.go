package cmd_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/internal/imdstest"
)

// Secrets of each kind that a run meets. None is a real one.
const (
	leakPassphrase = "passphrase-stirringdullroots"
	leakFileKey    = "filekey-memoryanddesire"
	leakParameter  = "parameter-aprilisthecruellest"
	leakOption     = "option-breedinglilacs"
	leakQuoted     = `quoted-out "of" the\dead`
	leakPassword   = "password-winterkeptuswarm"
	leakSignature  = "5ignature0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
	leakQueryToken = "querytoken/feedingalittlelife"
	leakOldSign    = "oldsignature+withdriedtubers="
	leakRoleID     = "ASIAEXAMPLE0123456789"
	leakRoleSecret = "rolesecret/summersurprisedus0123456789ab"
	leakRoleToken  = "roletoken/comingovertheStarnbergersee=="
	leakField      = "field-withashowerofrain"
)

// leaked are the forms in which no secret may be found.
func leaked() map[string]string {
	return map[string]string{
		"passphrase": leakPassphrase, "key file": leakFileKey, "parameter": leakParameter, "option": leakOption,
		"quoted option": leakQuoted, "quoted option, as JSON": `quoted-out \"of\" the\\dead`, "password": leakPassword,
		"signature": leakSignature, "query token": leakQueryToken, "query token, escaped": "querytoken%2Ffeedingalittlelife",
		"old signature": leakOldSign, "role's id": leakRoleID, "role's secret": leakRoleSecret, "role's token": leakRoleToken,
		"unknown field": leakField, "age identity": "AGE-SECRET-KEY-1",
	}
}

// The one that is not meant to: what a module prints itself, in its own log,
// and the options in the bundle on the disk, which is root's alone.
func mayHold(path string) bool {
	return strings.HasSuffix(path, "modules/tell.log") || strings.Contains(path, "var/lib/startup-agent/bundle/")
}

// TestNoSecretLeaks boots with every kind of secret, at debug level, through
// failures in every phase. Servers and modules give back all they are told.
func TestNoSecretLeaks(t *testing.T) {
	work := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const see = "tr '\\0' '\\n' </proc/$PPID/cmdline\ntr '\\0' '\\n' </proc/$PPID/environ\ntr '\\0' '\\n' </proc/$$/environ\ntr '\\0' '\\n' </proc/$$/cmdline\n"
	write("m/see/start", "#!/bin/sh\n"+see, 0o755)
	write("m/tell/start", "#!/bin/sh\necho \"$OPT_PASSWORD\"\necho \"got $OPT_QUOTED\" >&2\nexit ${HOW:-3}\n", 0o755)
	write("m/tell/module.yaml", "options: {password: {secret: true}, quoted: {secret: true}}\n", 0o644)
	write("p.yaml", "name: p\nmodules: [see, {use: tell, options: {password: "+leakOption+", quoted: '"+leakQuoted+"'}}]\n", 0o644)
	passphrase := write("passphrase", leakPassphrase+"\n", 0o600)
	fileKey := write("filekey", leakFileKey+"\n", 0o644)
	run := func(env []string, name string, args ...string) ([]byte, error) {
		c := exec.Command(name, args...)
		c.Dir, c.Env = work, append(os.Environ(), env...)
		return c.CombinedOutput()
	}
	for bundle, args := range map[string][]string{
		"age":        {"--key-out", "age.key"},
		"passphrase": {"--passphrase-file", passphrase},
		"filekey":    {"--passphrase-file", fileKey},
	} {
		if out, err := run(nil, "startup-packer", append([]string{"pack", "p.yaml", "--modules", "m", "-o", bundle + ".bundle"}, args...)...); err != nil {
			t.Fatalf("pack: %v\n%s", err, out)
		}
	}
	identity, err := os.ReadFile(filepath.Join(work, "age.key")) // with its comment, as a shell would take it
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(echo(work))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	query := "?X-Amz-Signature=" + leakSignature + "&X-Amz-Security-Token=querytoken%2Ffeedingalittlelife&Signature=" + leakOldSign

	for _, test := range []struct {
		name, document string
		code           int
	}{
		{"userdata: an unknown field", "url: " + server.URL + "/x\npasswort: " + leakField + "\nkey: " + leakPassphrase + "\n", 10},
		{"userdata: a broken document", "url: [" + server.URL + "/x" + query + "\nkey: \"" + leakPassphrase + "\n", 10},
		{"key: a service that tells all", "url: " + server.URL + "/age.bundle\nkey_from: ssm:/denied\n", 11},
		{"fetch: a bucket that tells all", "url: s3://bucket.example/denied.bundle\nkey: " + leakPassphrase + "\ntimeout: 2s\n", 17},
		{"fetch: a presigned URL with a password", "url: 'http://user:" + leakPassword + "@" + host + "/denied.bundle" + query + "'\nkey: " + leakPassphrase + "\ntimeout: 2s\n", 17},
		{"open: the key is another's", "url: 'http://user:" + leakPassword + "@" + host + "/age.bundle" + query + "'\nsha256: SHA\nkey_from: ssm:/given\n", 13},
		{"unpack: a bundle cut short", "url: 'http://user:" + leakPassword + "@" + host + "/cut.bundle" + query + "'\nsha256: " + strings.Repeat("0", 64) + "\nkey: " + string(identity), 13},
		{"modules: one fails", "url: 'http://user:" + leakPassword + "@" + host + "/age.bundle" + query + "'\nsha256: SHA\nkey: " + string(identity), 15},
		{"modules: with a passphrase", "url: file://" + work + "/passphrase.bundle\nkey: " + leakPassphrase + "\n", 15},
		{"done: with a key file open to all", "url: file://" + work + "/filekey.bundle\nkey_from: file:" + fileKey + "\nenv: {HOW: \"0\"}\n", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := imdstest.Sample()
			i.Role, i.Credentials = "web", imdstest.Credentials{AccessKeyID: leakRoleID, SecretAccessKey: leakRoleSecret, Token: leakRoleToken}
			i.Userdata = []byte("#startup-bundle\n" + strings.ReplaceAll(test.document, "SHA", digest(t, filepath.Join(work, "age.bundle"))))
			metadata, err := imdstest.NewServer(i)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(metadata.Close)
			env := []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL, "AWS_ENDPOINT_URL=" + server.URL}
			root := t.TempDir()
			console := filepath.Join(root, "console")
			if err := os.WriteFile(console, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			seen, err := run(env, "startup-agent", "run", "--debug", "--root", root, "--console", console)
			var code int
			if err != nil {
				code = err.(*exec.ExitError).ExitCode() //nolint:errorlint // Run's own
			}
			if code != test.code {
				t.Errorf("exit code %d, want %d:\n%s", code, test.code, seen)
			}
			check(t, "the run's output", seen)
			archive := filepath.Join(root, "report.tar.gz")
			for _, args := range [][]string{{"status"}, {"status", "--json"}, {"logs"}, {"logs", "--json"}, {"logs", "see"}, {"timeline"}, {"collect", "-o", archive}} {
				out, _ := run(nil, "startup-agent", append(args, "--root", root)...)
				check(t, strings.Join(args, " "), out)
			}
			checkTree(t, root)
			checkArchive(t, archive)
		})
	}
}

// echo serves the files of dir and plays the services of AWS. What it refuses it
// refuses with all that it was told in the answer.
func echo(dir string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		body, _ := io.ReadAll(r.Body)
		told := fmt.Sprintf("%s %s %s %s %s", r.URL, r.Header, leakRoleID, leakRoleSecret, leakRoleToken)
		file, err := os.ReadFile(filepath.Join(dir, filepath.Base(r.URL.Path)))
		switch {
		case target != "" && bytes.Contains(body, []byte("given")):
			fmt.Fprintf(w, `{"Parameter": {"Name": "/given", "Value": %q}}`, leakParameter)
		case target != "":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type": "ValidationException", "message": %q}`, told)
		case strings.HasSuffix(r.URL.Path, "cut.bundle"):
			_, _ = w.Write([]byte("age-encryption.org/v1\n"))
		case err != nil:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<Error><Code>InvalidAccessKeyId</Code><Message>%s</Message><AWSAccessKeyId>%s</AWSAccessKeyId></Error>", told, leakRoleID)
		default:
			_, _ = w.Write(file)
		}
	}
}

func digest(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func check(t *testing.T, where string, text []byte) {
	t.Helper()
	for kind, form := range leaked() {
		if i := bytes.Index(text, []byte(form)); i >= 0 {
			t.Errorf("%s shows the %s: …%s", where, kind, text[max(0, i-100):min(len(text), i+len(form)+20)])
		}
	}
}

func checkTree(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || mayHold(path) {
			return err
		}
		text, err := os.ReadFile(path)
		check(t, strings.TrimPrefix(path, root), text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func checkArchive(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for r := tar.NewReader(zip); ; files++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "the archive's "+h.Name, text)
	}
	if files < 5 {
		t.Errorf("the archive has %d files", files)
	}
}
