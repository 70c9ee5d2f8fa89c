package aws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/pipenet"
)

// role hands out credentials and counts how often.
type role struct {
	asked atomic.Int64
	err   error
}

func (r *role) Retrieve(context.Context) (sdk.Credentials, error) {
	n := r.asked.Add(1)
	return sdk.Credentials{AccessKeyID: "AKID", SecretAccessKey: "hidden", SessionToken: fmt.Sprintf("token-%d", n)}, r.err
}

// cloud is what AWS was asked, and answers as handler does.
type cloud struct {
	mu   sync.Mutex
	seen []*http.Request
	then http.HandlerFunc
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then is it noticed that a client goes
	c.mu.Lock()
	c.seen = append(c.seen, r)
	c.mu.Unlock()
	c.then(w, r)
}

func (c *cloud) requests() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

func (c *cloud) hosts() (all []string) {
	for _, r := range c.requests() {
		all = append(all, r.Host+r.RequestURI)
	}
	return all
}

// newClient returns a client of region for which every name leads to then.
func newClient(t *testing.T, region string, who *role, then http.HandlerFunc) (*aws.Client, *cloud) {
	t.Helper()
	for _, name := range []string{"", "_S3", "_SSM", "_SECRETS_MANAGER", "_KMS"} {
		t.Setenv("AWS_ENDPOINT_URL"+name, "")
	}
	return connect(t, region, who, then)
}

func connect(t *testing.T, region string, who *role, then http.HandlerFunc) (*aws.Client, *cloud) {
	t.Helper()
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{then: then}
	dial := pipenet.New(t, map[string]http.Handler{"any": c})
	rt.Proxy = nil
	rt.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "any:80")
	}
	rt.DialTLSContext = rt.DialContext // the test speaks for the certificate
	t.Cleanup(rt.CloseIdleConnections)
	return aws.New(aws.Config{
		Logger: zap.NewNop(), Transport: rt, Credentials: who,
		Region: func(context.Context) (string, error) { return region, nil },
	}), c
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }

func get(t *testing.T, rt http.RoundTripper, header ...string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://s3.invalid/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return rt.RoundTrip(r)
}

func TestAnObjectIsAskedForAtItsPlace(t *testing.T) {
	tests := map[string]struct{ region, url, endpoint, want string }{
		"a plain one":          {"eu-west-1", "s3://bucket/web.bundle", "", "bucket.s3.eu-west-1.amazonaws.com/web.bundle"},
		"in a folder":          {"eu-west-1", "s3://bucket/a/b//c", "", "bucket.s3.eu-west-1.amazonaws.com/a/b//c"},
		"a dotted bucket":      {"eu-west-1", "s3://my.bucket/k", "", "s3.eu-west-1.amazonaws.com/my.bucket/k"},
		"an old name":          {"us-east-1", "s3://My_Bucket/k", "", "s3.us-east-1.amazonaws.com/My_Bucket/k"},
		"China":                {"cn-north-1", "s3://bucket/k", "", "bucket.s3.cn-north-1.amazonaws.com.cn/k"},
		"GovCloud":             {"us-gov-west-1", "s3://bucket/k", "", "bucket.s3.us-gov-west-1.amazonaws.com/k"},
		"an isolated one":      {"us-isob-east-1", "s3://bucket/k", "", "bucket.s3.us-isob-east-1.sc2s.sgov.gov/k"},
		"an encoded version":   {"eu-west-1", "s3://bucket/k?versionId=a%2Fb%2Bc", "", "bucket.s3.eu-west-1.amazonaws.com/k?versionId=a%2Fb%2Bc"},
		"a space and percents": {"eu-west-1", "S3://bucket/my 100% %20#f", "", "bucket.s3.eu-west-1.amazonaws.com/my%20100%25%20%2520%23f"},
		"a version":            {"eu-west-1", "s3://bucket/k?versionId=a/b+c", "", "bucket.s3.eu-west-1.amazonaws.com/k?versionId=a%2Fb%2Bc"},
		"a question mark":      {"eu-west-1", "s3://bucket/what?", "", "bucket.s3.eu-west-1.amazonaws.com/what%3F"},
		"an awkward key":       {"eu-west-1", "s3://bucket/a b/ü%20;=&+~()!'*#", "", "bucket.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC%2520%3B%3D%26%2B~%28%29%21%27%2A%23"},
		"dots":                 {"eu-west-1", "s3://bucket/../x/./y", "", "bucket.s3.eu-west-1.amazonaws.com/../x/./y"},
		"another endpoint":     {"eu-west-1", "s3://bucket/k", "http://127.0.0.1:7070/", "127.0.0.1:7070/bucket/k"},
		"its own over that":    {"eu-west-1", "s3://bucket/k", "https://minio.example", "minio.example/bucket/k"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, cloud := newClient(t, test.region, &role{}, ok)
			t.Setenv("AWS_ENDPOINT_URL_S3", test.endpoint)
			if name == "its own over that" {
				t.Setenv("AWS_ENDPOINT_URL", "https://wrong.example")
			}
			o, err := c.Object(test.url)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := get(t, o, "Range", "bytes=0-9", "If-Match", `"v"`)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if diff := cmp.Diff([]string{test.want}, cloud.hosts()); diff != "" {
				t.Error(diff)
			}
			h := cloud.requests()[0].Header
			for _, want := range []string{"/" + test.region + "/s3/aws4_request", "if-match;", ";range;", "x-amz-security-token"} {
				if !strings.Contains(h.Get("Authorization"), want) {
					t.Errorf("%s is not in %s", want, h.Get("Authorization"))
				}
			}
			if h.Get("X-Amz-Security-Token") != "token-1" || h.Get("X-Amz-Content-Sha256") == "" {
				t.Errorf("headers: %v", h)
			}
		})
	}
}

func TestWhatIsNoObjectIsRefused(t *testing.T) {
	c, cloud := newClient(t, "eu-west-1", &role{}, ok)
	for _, raw := range []string{
		"", "https://bucket/k", "s3://", "s3://bucket", "s3://bucket/", "s3:///k", "s3://bucket.evil.com:80/k",
		"s3://user@bucket/k", "s3://b/k", "s3://-b-/k", "s3://bucket/" + strings.Repeat("k", 1025),
	} {
		if _, err := c.Object(raw); err == nil {
			t.Errorf("%q is an object", raw)
		}
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "ftp://s3cret")
	if _, err := c.Object("s3://bucket/k"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a wrong endpoint: %v", err)
	}
	if len(cloud.hosts()) != 0 {
		t.Error("something was sent")
	}
}

func TestABucketInAnotherRegionIsFollowed(t *testing.T) {
	const west = "bucket.s3.us-west-2.amazonaws.com/k"
	const east = "bucket.s3.eu-west-1.amazonaws.com/k"
	xmlRegion := `<?xml version="1.0"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>us-west-2</Region></Error>`
	tests := map[string]struct {
		status int
		header string
		body   string
		want   []string
	}{
		"301 with a header":     {301, "us-west-2", "", []string{east, west, west}},
		"307 with a header":     {307, "us-west-2", "", []string{east, west, west}},
		"400 with a body":       {400, "", xmlRegion, []string{east, west, west}},
		"a host for a region":   {301, "evil.example/", "", []string{east, east}},
		"the same region":       {403, "eu-west-1", "", []string{east, east}},
		"no region":             {301, "", "<Error>", []string{east, east}},
		"a region that bounces": {302, "bounce", "", []string{east, west, east, east, west, east}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, cloud := newClient(t, "eu-west-1", &role{}, func(w http.ResponseWriter, r *http.Request) {
				west := strings.Contains(r.Host, "us-west-2")
				region := test.header
				if region == "bounce" {
					region = map[bool]string{true: "eu-west-1", false: "us-west-2"}[west]
				} else if west {
					ok(w, r)
					return
				}
				w.Header().Set("X-Amz-Bucket-Region", region)
				w.Header().Set("Location", "https://evil.example/")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			o, err := c.Object("s3://bucket/k")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				resp, err := get(t, o)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			if diff := cmp.Diff(test.want, cloud.hosts()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestS3ErrorsSayWhatToDo(t *testing.T) {
	code := func(c string) string {
		return "<Error><Code>" + c + "</Code><Message>why\nso</Message></Error>"
	}
	tests := map[string]struct {
		region, url, body string
		status            int
		want              []string
	}{
		"denied":         {"eu-west-1", "s3://bucket/k", code("AccessDenied"), 403, []string{"AccessDenied (why so)", "s3:GetObject on arn:aws:s3:::bucket/k", "s3:ListBucket on arn:aws:s3:::bucket "}},
		"denied bare":    {"cn-north-1", "s3://bucket/k", "", 403, []string{"403", "s3:GetObject on arn:aws-cn:s3:::bucket/k"}},
		"a version":      {"us-gov-east-1", "s3://bucket/k?versionId=1", code("AccessDenied"), 403, []string{"s3:GetObjectVersion on arn:aws-us-gov:s3:::bucket/k"}},
		"missing":        {"eu-west-1", "s3://bucket/k", code("NoSuchKey"), 404, []string{"NoSuchKey", "check the key"}},
		"no bucket":      {"eu-west-1", "s3://bucket/k", code("NoSuchBucket"), 404, []string{"NoSuchBucket", "bucket's name"}},
		"a wrong clock":  {"eu-west-1", "s3://bucket/k", code("RequestTimeTooSkewed"), 403, []string{"clock", "Date-Header"}},
		"expired":        {"eu-west-1", "s3://bucket/k", code("ExpiredToken"), 400, []string{"ExpiredToken", "expired"}},
		"unknown key":    {"eu-west-1", "s3://bucket/k", code("InvalidAccessKeyId"), 403, []string{"partition"}},
		"a bad proxy":    {"eu-west-1", "s3://bucket/k", code("SignatureDoesNotMatch"), 403, []string{"proxy"}},
		"something else": {"eu-west-1", "s3://bucket/k", code("InvalidObjectState"), 400, []string{"InvalidObjectState", "look the code up"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, _ := newClient(t, test.region, &role{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", "Date-Header")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			o, err := c.Object(test.url)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := get(t, o)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			e := o.Explain(resp)
			for _, want := range test.want {
				if !strings.Contains(e.Error(), want) {
					t.Errorf("%q is not in %q", want, e)
				}
			}
			if e.Status != test.status || strings.Contains(e.Error(), "\n") {
				t.Errorf("%q", e)
			}
		})
	}
}

func TestExpiredCredentialsAreAskedForAnew(t *testing.T) {
	who := &role{}
	c, _ := newClient(t, "eu-west-1", who, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Security-Token") == "token-1" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>ExpiredToken</Code></Error>")
			return
		}
		ok(w, r)
	})
	o, err := c.Object("s3://bucket/k")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{400, 200, 200} {
		resp, err := get(t, o)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("got %v, %v, want %d", resp, err, want)
		}
		_ = resp.Body.Close()
	}
	if who.asked.Load() != 2 {
		t.Errorf("the role was asked %d times", who.asked.Load())
	}
}

func TestWithoutAnIdentityNothingIsSent(t *testing.T) {
	for name, test := range map[string]struct {
		who    *role
		region string
	}{
		"no role": {&role{err: errors.New("no role")}, "eu-west-1"}, "no region": {&role{}, ""}, "a false region": {&role{}, "a.b/"},
	} {
		t.Run(name, func(t *testing.T) {
			c, cloud := newClient(t, test.region, test.who, ok)
			o, err := c.Object("s3://bucket/k")
			if err != nil {
				t.Fatal(err)
			}
			_, err = get(t, o)
			var identity *aws.IdentityError
			if !errors.As(err, &identity) || !strings.Contains(err.Error(), "instance profile") || len(cloud.hosts()) != 0 {
				t.Errorf("%v after %v", err, cloud.hosts())
			}
		})
	}
}
