package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
)

// Instance metadata may be waited for longer than one request may take. That is not
// a service which does not answer, to be asked again for an hour.
func TestACallWithoutAnIdentityEnds(t *testing.T) {
	cause := fmt.Errorf("not reachable: %w", &url.Error{
		Op: "Put", URL: "http://metadata/token", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
	})
	for name, most := range map[string]time.Duration{"region": 2 * time.Minute, "credentials": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL", "")
			t.Setenv("AWS_ENDPOINT_URL_SSM", "")
			synctest.Test(t, func(t *testing.T) {
				rt, err := transport.New("")
				if err != nil {
					t.Fatal(err)
				}
				rt.DialContext = func(context.Context, string, string) (net.Conn, error) {
					t.Error("a service was asked")
					return nil, syscall.ECONNREFUSED
				}
				wait := func(ctx context.Context) error { return errors.Join(transport.Sleep(ctx, most), cause) }
				config := aws.Config{Logger: zap.NewNop(), Transport: rt, Credentials: &role{}}
				config.Region = func(ctx context.Context) (string, error) { return "", wait(ctx) }
				if name == "credentials" {
					config.Credentials = waiting(wait)
					config.Region = func(context.Context) (string, error) { return "eu-west-1", nil }
				}
				began := time.Now()
				var out struct{}
				err = aws.New(config).Do(t.Context(), aws.Call{Service: "ssm", Target: "AmazonSSM.GetParameter", Action: "ssm:GetParameter"}, out, &out)
				var identity *aws.IdentityError
				if !errors.As(err, &identity) || !strings.Contains(err.Error(), "no credentials (no instance role)") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != most {
					t.Errorf("it took %v, want %v", took, most)
				}
			})
		})
	}
}

type waiting func(context.Context) error

func (w waiting) Retrieve(ctx context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, w(ctx)
}
