//go:build integration

package push_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"startup-bundle/internal/daemon"
	"startup-bundle/packer/push"
)

const gatewayRegion = "eu-central-1"

// gateway starts versitygw, which checks signatures and checksums, with the buckets
// plain and versioned, and makes the environment that of its root.
func gateway(t *testing.T) (*s3.Client, string) {
	t.Helper()
	program := daemon.Find(t, "versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	address := daemon.Address(t)
	daemon.Start(t, address, program, "--access", "root", "--secret", "of-this-test", "--region", gatewayRegion,
		"--port", address, "--iam-dir", t.TempDir(), "posix", "--versioning-dir", t.TempDir(), t.TempDir())
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "of-this-test", "AWS_REGION": gatewayRegion, "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "",
	} {
		t.Setenv(name, value)
	}
	endpoint := "http://" + address
	client := s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: gatewayRegion,
		Credentials: credentials.NewStaticCredentialsProvider("root", "of-this-test", ""),
	})
	for _, name := range []string{"plain", "versioned"} {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
		Bucket: aws.String("versioned"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client, endpoint
}

// sealed writes a file that begins as a bundle and is size bytes large.
func sealed(t *testing.T, size int, seed uint64) (path string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	copy(content, "age-encryption.org/v1\n-> X25519 ")
	path = filepath.Join(t.TempDir(), "web.bundle")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func get(t *testing.T, c *s3.Client, bucket, key string) []byte {
	t.Helper()
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestABundleIsPushed(t *testing.T) {
	client, endpoint := gateway(t)
	for name, size := range map[string]int{"in one part": 100_000, "in many parts": 40<<20 + 7} {
		t.Run(name, func(t *testing.T) {
			path, content := sealed(t, size, uint64(size))
			var last int64
			o := push.Options{
				File: path, Target: "s3://plain/" + strings.ReplaceAll(name, " ", "-") + "/", Endpoint: endpoint, Presign: time.Hour,
				Progress: func(done, total int64) {
					if done < last || total != int64(size) {
						t.Errorf("progress %d of %d after %d", done, total, last)
					}
					last = done
				},
			}
			r, err := push.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			key := strings.ReplaceAll(name, " ", "-") + "/web.bundle"
			if r.URL != "s3://plain/"+key || r.SHA256 != digest(content) || r.Bytes != int64(size) || r.Unchanged || last != int64(size) {
				t.Errorf("%+v, progress up to %d", r, last)
			}
			if !bytes.Equal(get(t, client, "plain", key), content) {
				t.Error("another file is there")
			}
			answer, err := http.Get(r.Presigned) //nolint:noctx // loopback
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil || !bytes.Equal(text, content) {
				t.Errorf("presigned: %s, %d bytes: %v", answer.Status, len(text), err)
			}
			if again, err := push.Run(t.Context(), o); err != nil || !again.Unchanged {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

func TestNothingElseIsReplaced(t *testing.T) {
	client, endpoint := gateway(t)
	first, content := sealed(t, 9<<20, 1)
	second, other := sealed(t, 9<<20, 2)
	o := push.Options{File: first, Target: "s3://plain/web.bundle", Endpoint: endpoint}
	if _, err := push.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.File = second
	o.Endpoint = behind(t, endpoint, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead {
			t.Errorf("%s %s before it was refused", r.Method, r.URL.Path)
		}
		return false
	})
	if _, err := push.Run(t.Context(), o); !errors.Is(err, push.ErrThere) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("error %v", err)
	}
	o.Endpoint = endpoint
	if !bytes.Equal(get(t, client, "plain", "web.bundle"), content) {
		t.Error("it was replaced")
	}
	o.Replace = true
	if _, err := push.Run(t.Context(), o); err != nil || !bytes.Equal(get(t, client, "plain", "web.bundle"), other) {
		t.Errorf("by force: %v", err)
	}
}

// behind returns the endpoint of a server before the one at endpoint, which sees what
// first has not answered.
func behind(t *testing.T, endpoint string, first func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !first(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Whoever may write but not read is refused by the upload itself, as is whoever
// loses a race.
func TestWhatCannotBeSeenIsNotReplaced(t *testing.T) {
	client, endpoint := gateway(t)
	o := push.Options{Target: "s3://plain/web.bundle"}
	o.Endpoint = behind(t, endpoint, func(w http.ResponseWriter, r *http.Request) bool {
		hidden := r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/web.bundle")
		if hidden {
			w.WriteHeader(http.StatusForbidden)
		}
		return hidden
	})
	first, content := sealed(t, 1000, 1)
	second, _ := sealed(t, 1000, 2)
	o.File = first
	if _, err := push.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.File = second
	if _, err := push.Run(t.Context(), o); !errors.Is(err, push.ErrThere) {
		t.Errorf("error %v", err)
	}
	if !bytes.Equal(get(t, client, "plain", "web.bundle"), content) {
		t.Error("it was replaced")
	}
}

func TestTheVersionIsNamed(t *testing.T) {
	client, endpoint := gateway(t)
	first, content := sealed(t, 5000, 1)
	second, _ := sealed(t, 5000, 2)
	o := push.Options{File: first, Target: "s3://versioned/web.bundle", Endpoint: endpoint}
	r, err := push.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.File, o.Replace = second, true
	if _, err := push.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	_, version, ok := strings.Cut(r.URL, "?versionId=")
	if !ok {
		t.Fatalf("no version in %s", r.URL)
	}
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("versioned"), Key: aws.String("web.bundle"), VersionId: &version})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if text, _ := io.ReadAll(out.Body); !bytes.Equal(text, content) {
		t.Error("the version is another file")
	}
}

func TestTroubleSaysWhatToDo(t *testing.T) {
	client, endpoint := gateway(t)
	path, _ := sealed(t, 20<<20, 1)
	for name, test := range map[string]struct {
		set  map[string]string
		o    push.Options
		want string
	}{
		"no bucket":            {nil, push.Options{Target: "s3://elsewhere/web.bundle"}, "no such bucket"},
		"a wrong secret":       {map[string]string{"AWS_SECRET_ACCESS_KEY": "guessed"}, push.Options{}, "secret key is wrong"},
		"an unknown key":       {map[string]string{"AWS_ACCESS_KEY_ID": "nobody"}, push.Options{}, "not known"},
		"no credentials":       {map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, push.Options{}, "aws sso login"},
		"no target":            {nil, push.Options{Target: "https://bucket/web.bundle"}, "s3://bucket/"},
		"a URL of eight days":  {nil, push.Options{Presign: 8 * 24 * time.Hour}, "1m0s to 168h"},
		"a profile that isn't": {nil, push.Options{Profile: "nobody"}, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.set {
				t.Setenv(key, value)
			}
			o := test.o
			o.File, o.Endpoint = path, endpoint
			if o.Target == "" {
				o.Target = "s3://plain/web.bundle"
			}
			_, err := push.Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "guessed") {
				t.Errorf("error %v, want %q", err, test.want)
			}
			nothing(t, client)
		})
	}
}

// nothing fails where the bucket plain holds an object or a part of one.
func nothing(t *testing.T, c *s3.Client) {
	t.Helper()
	list, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("plain")})
	if err != nil || len(list.Contents) > 0 {
		t.Errorf("objects are there, or %v", err)
	}
	parts, err := c.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("plain")})
	if err != nil || len(parts.Uploads) > 0 {
		t.Errorf("parts are left, or %v", err)
	}
}

func TestAnInterruptedPushLeavesNothing(t *testing.T) {
	client, endpoint := gateway(t)
	path, _ := sealed(t, 40<<20, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := push.Run(ctx, push.Options{File: path, Target: "s3://plain/web.bundle", Endpoint: endpoint, Progress: func(done, _ int64) {
		if done > 8<<20 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	nothing(t, client)
}

func TestAFileThatChangesIsNoticed(t *testing.T) {
	_, endpoint := gateway(t)
	path, content := sealed(t, 80<<20, 1) // more than is read ahead
	changed := false
	_, err := push.Run(t.Context(), push.Options{File: path, Target: "s3://plain/web.bundle", Endpoint: endpoint, Progress: func(int64, int64) {
		if !changed {
			changed = true
			content[len(content)-1]++
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Error(err)
			}
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("error %v", err)
	}
}
