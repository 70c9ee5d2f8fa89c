//go:build integration

package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/daemon"
)

// account is somebody the gateway knows, or not.
type account struct{ id, secret, token string }

func (a account) Retrieve(context.Context) (sdk.Credentials, error) {
	return sdk.Credentials{AccessKeyID: a.id, SecretAccessKey: a.secret, SessionToken: a.token}, nil
}

// gateway is versitygw, which checks every signature.
type gateway struct {
	endpoint string
	root     account
}

const gatewayRegion = "eu-central-1"

func startGateway(t *testing.T) *gateway {
	t.Helper()
	program := daemon.Find(t, "versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	address := daemon.Address(t)
	g := &gateway{"http://" + address, account{id: "root", secret: "of-this-test"}}
	daemon.Start(t, address, program, "--access", g.root.id, "--secret", g.root.secret, "--region", gatewayRegion,
		"--port", address, "--iam-dir", t.TempDir(), "posix", "--versioning-dir", t.TempDir(), t.TempDir())
	t.Setenv("AWS_ENDPOINT_URL_S3", g.endpoint)
	out, err := exec.CommandContext(t.Context(), program, "admin", "--access", g.root.id, "--secret", g.root.secret, "--endpoint-url", g.endpoint,
		"--region", gatewayRegion, "create-user", "--access", "guest", "--secret", "guest-of-this-test", "--role", "user").CombinedOutput()
	if err != nil {
		t.Fatalf("create the guest: %v\n%s", err, out)
	}
	return g
}

// put sends a signed PUT and returns the version it made.
func (g *gateway) put(t *testing.T, path, query string, body []byte) string {
	t.Helper()
	u, err := url.Parse(g.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.RawQuery = path, query
	u.RawPath = strings.NewReplacer("+", "%2B", "!", "%21", "'", "%27", "(", "%28", ")", "%29", "*", "%2A", ";", "%3B", "=", "%3D", "&", "%26").
		Replace((&url.URL{Path: path}).EscapedPath())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, u.String(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	credentials, _ := g.root.Retrieve(t.Context())
	r.Header.Set("X-Amz-Content-Sha256", digest(body))
	err = v4.NewSigner().SignHTTP(t.Context(), credentials, r, digest(body), "s3", gatewayRegion, time.Now(),
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("put %s: %s", path, resp.Status)
	}
	return resp.Header.Get("X-Amz-Version-Id")
}

func s3Client(t *testing.T, who account, region string) *fetch.Client {
	t.Helper()
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rt.CloseIdleConnections)
	signer := aws.New(aws.Config{
		Logger: zap.NewNop(), Transport: rt, Credentials: who,
		Region: func(context.Context) (string, error) { return region, nil },
	})
	return fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: rt, AWS: signer})
}

func TestObjectsOfARealGateway(t *testing.T) {
	g := startGateway(t)
	g.put(t, "/bucket", "", nil)
	g.put(t, "/dotted.bucket", "", nil)
	small, large := payload(1000), payload(9<<20+5)
	for _, key := range []string{"web.bundle", "a folder/ü – x", "100%20%", "semi;colon=and&", "~tilde()!'*", "plus+hash#", "what?", "a=b"} {
		t.Run("key "+key, func(t *testing.T) {
			g.put(t, "/bucket/"+key, "", small)
			got, s, err := fetchWith(t.Context(), s3Client(t, g.root, gatewayRegion), fetch.Request{URLs: []string{"s3://bucket/" + key}})
			if err != nil || !bytes.Equal(got, small) || s.Scheme() != "s3" {
				t.Fatalf("%d bytes: %v", len(got), err)
			}
		})
	}
	t.Run("a large object in a dotted bucket", func(t *testing.T) {
		g.put(t, "/dotted.bucket/large", "", large)
		r := fetch.Request{URLs: []string{"s3://dotted.bucket/large"}, SHA256: digest(large)}
		got, _, err := fetchWith(t.Context(), s3Client(t, g.root, gatewayRegion), r)
		if err != nil || !bytes.Equal(got, large) {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	})
	t.Run("an empty object", func(t *testing.T) {
		g.put(t, "/bucket/empty", "", nil)
		got, _, err := fetchWith(t.Context(), s3Client(t, g.root, gatewayRegion), fetch.Request{URLs: []string{"s3://bucket/empty"}})
		if err != nil || len(got) != 0 {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	})
	t.Run("an older version", func(t *testing.T) {
		g.put(t, "/bucket", "versioning=", []byte(`<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`))
		version := g.put(t, "/bucket/versioned", "", small)
		g.put(t, "/bucket/versioned", "", large)
		got, _, err := fetchWith(t.Context(), s3Client(t, g.root, gatewayRegion), fetch.Request{URLs: []string{"s3://bucket/versioned?versionId=" + version}})
		if version == "" || err != nil || !bytes.Equal(got, small) {
			t.Fatalf("version %q: %d bytes: %v", version, len(got), err)
		}
	})
	t.Run("from the wrong region", func(t *testing.T) {
		got, _, err := fetchWith(t.Context(), s3Client(t, g.root, "us-east-1"), fetch.Request{URLs: []string{"s3://bucket/web.bundle"}})
		if err != nil || !bytes.Equal(got, small) {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	})
}

func TestWhatARealGatewayRefuses(t *testing.T) {
	g := startGateway(t)
	g.put(t, "/bucket", "", nil)
	g.put(t, "/bucket/web.bundle", "", payload(10))
	tests := map[string]struct {
		who  account
		url  string
		kind fetch.Kind
		text string
	}{
		"a missing object":    {g.root, "s3://bucket/missing", fetch.NotFound, "NoSuchKey"},
		"a missing bucket":    {g.root, "s3://nowhere/missing", fetch.NotFound, "NoSuchBucket"},
		"no permission":       {account{"guest", "guest-of-this-test", ""}, "s3://bucket/web.bundle", fetch.Denied, "allow s3:GetObject on arn:aws:s3:::bucket/web.bundle"},
		"a stranger":          {account{"nobody", "x", ""}, "s3://bucket/web.bundle", fetch.Denied, "InvalidAccessKeyId"},
		"a false signature":   {account{"root", "x", ""}, "s3://bucket/web.bundle", fetch.Denied, "SignatureDoesNotMatch"},
		"expired credentials": {account{"root", g.root.secret, "expired"}, "s3://bucket/web.bundle", fetch.Denied, "InvalidToken"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// Roles may heal for half a minute; here the deadline comes first.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, _, err := fetchWith(ctx, s3Client(t, test.who, gatewayRegion), fetch.Request{URLs: []string{test.url}})
			var e *fetch.Error
			if !errors.As(err, &e) || len(got) != 0 || !strings.Contains(err.Error(), string(test.kind)) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}
