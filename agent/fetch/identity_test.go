package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
)

// unreachable is what instance metadata that is not there leads to.
func unreachable(op string, cause error) error {
	return fmt.Errorf("not reachable: %w; is it on?", &url.Error{
		Op: "Put", URL: "http://metadata/token", Err: &net.OpError{Op: op, Net: "tcp", Err: cause},
	})
}

// Without credentials no server is asked: metadata's own patience is enough, and the
// error speaks of the role, not of the network to the server.
func TestWithoutCredentialsTheFetchEnds(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	for name, test := range map[string]struct {
		err         error
		waits       time.Duration // of each try, for metadata
		least, most time.Duration
	}{
		"refused":             {unreachable("dial", syscall.ECONNREFUSED), 2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
		"no route, impatient": {unreachable("dial", syscall.EHOSTUNREACH), 5 * time.Second, 30 * time.Second, 80 * time.Second},
		"broken off":          {unreachable("read", syscall.ECONNRESET), 2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
		"no address":          {unreachable("dial", &net.DNSError{Err: "no such host"}), time.Minute, time.Minute, time.Minute},
		"no role":             {errors.New("the instance has no IAM role"), 10 * time.Second, 30 * time.Second, 80 * time.Second},
		"silent":              {unreachable("read", context.DeadlineExceeded), 2 * time.Minute, 2 * time.Minute, 2 * time.Minute},
	} {
		for _, last := range []bool{false, true} { // the region, or the credentials are missing
			t.Run(fmt.Sprint(name, last), func(t *testing.T) {
				bubble(t, time.Hour, func(t *testing.T, ctx context.Context) {
					n := newNetwork(t, map[string]http.Handler{})
					logger, lines := observer.New(zap.DebugLevel)
					config := aws.Config{
						Logger: zap.NewNop(), Transport: n.transport, Credentials: somebody{},
						Region: func(ctx context.Context) (string, error) {
							return "", errors.Join(transport.Sleep(ctx, test.waits), test.err)
						},
					}
					if last {
						config.Credentials = somebody{test.err}
						config.Region = func(ctx context.Context) (string, error) { return "eu-west-1", transport.Sleep(ctx, test.waits) }
					}
					c := fetch.New(fetch.Config{Logger: zap.New(logger), Transport: n.transport, AWS: aws.New(config)})
					began := time.Now()
					_, _, err := fetchWith(ctx, c, fetch.Request{URLs: []string{"s3://bucket/web.bundle"}})
					took := time.Since(began)
					var e *fetch.Error
					if !errors.As(err, &e) || e.Kind != fetch.Denied || !strings.Contains(err.Error(), "no credentials (no instance role)") {
						t.Errorf("got %v", err)
					}
					if strings.Contains(fmt.Sprint(err), "DNS") || strings.Contains(fmt.Sprint(err), "redacted") {
						t.Errorf("got %v", err)
					}
					if !last && took < test.least || took > test.most {
						t.Errorf("it took %v, want %v to %v", took, test.least, test.most)
					}
					for _, line := range lines.All() {
						if strings.Contains(line.Message, "mirror does not serve") || strings.Contains(fmt.Sprint(line.ContextMap()), "check DNS") {
							t.Errorf("logged: %s %v", line.Message, line.ContextMap())
						}
					}
				})
			})
		}
	}
}
