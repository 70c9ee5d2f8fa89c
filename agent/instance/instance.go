// Package instance is who am I: a metadata client patient at boot, identity,
// role credentials.
//
// In the first seconds of a boot there may be no address, no route, no
// listener, no token, and then wrong answers: all that is "not yet", until
// the client's patience ends. Only version 2 of the service is used, and never
// a proxy.
package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"go.uber.org/zap"
)

const (
	// DefaultDeadline is how long a call waits for metadata to be ready.
	DefaultDeadline = 2 * time.Minute

	// Settle is how long an answer must hold that may be wrong early in a boot:
	// that there is no userdata, no role, no metadata at all.
	Settle = 10 * time.Second

	attemptTimeout = 5 * time.Second // of a token and an answer
	dialTimeout    = time.Second
	firstPause     = 100 * time.Millisecond // between attempts; doubles
	maxPause       = time.Second
	logEvery       = 10 * time.Second
	maxAnswer      = 64 << 10 // bytes of one answer; the largest real one is userdata's 16 KiB
)

// The addresses of the service, in "Instance metadata and user data" of the
// EC2 user guide.
const (
	endpointIPv4 = "http://169.254.169.254"
	endpointIPv6 = "http://[fd00:ec2::254]"
)

// Errors that callers tell apart. A returned error wraps one of them and says
// what to do.
var (
	// ErrUnreachable is metadata that was not ready within the deadline; the
	// last cause is wrapped too.
	ErrUnreachable = errors.New("instance metadata is not reachable")

	// ErrDisabled is an instance, or an environment, with metadata turned off.
	ErrDisabled = errors.New("instance metadata is disabled")

	// ErrNoRole is an instance without a role, so without credentials.
	ErrNoRole = errors.New("the instance has no IAM role")
)

// Config is what [New] needs. Only Logger has no default.
//
// The environment decides where the service is: AWS_EC2_METADATA_SERVICE_ENDPOINT
// gives its URL, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE (IPv4 or IPv6) one of
// its two addresses; without either both are tried at once, and the first to
// answer is kept. AWS_EC2_METADATA_DISABLED=true makes every call [ErrDisabled].
type Config struct {
	Logger *zap.Logger

	// Role gets what is logged while region or credentials are waited for; nil
	// means Logger.
	Role *zap.Logger

	// Deadline is the patience of each call; zero means DefaultDeadline.
	Deadline time.Duration

	// Dial replaces how connections are made. Nil means the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client asks the metadata service. It is safe for concurrent use.
type Client struct {
	log, role *zap.Logger
	deadline  time.Duration
	endpoints []*imds.Client
	chosen    atomic.Pointer[imds.Client]
	unusable  error // of the environment; every call returns it
	http      *http.Client
	creds     *aws.CredentialsCache
	identity  atomic.Pointer[Identity] // once known
}

// New returns a client. It does not connect.
func New(config Config) *Client {
	c := &Client{log: config.Logger, role: cmp.Or(config.Role, config.Logger), deadline: config.Deadline}
	if c.deadline == 0 {
		c.deadline = DefaultDeadline
	}
	urls, err := endpoints()
	c.unusable = err
	doer := newDoer(config.Dial)
	c.http = doer.client
	for _, u := range urls {
		c.endpoints = append(c.endpoints, imds.New(imds.Options{
			Endpoint:              u,
			HTTPClient:            doer,
			Retryer:               aws.NopRetryer{},
			ClientEnableState:     imds.ClientEnabled,
			EnableFallback:        aws.FalseTernary,
			DisableDefaultTimeout: true,
		}))
	}
	c.creds = newCredentials(c)
	return c
}

// endpoints reads the environment.
func endpoints() ([]string, error) {
	if strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		return nil, fmt.Errorf("%w: AWS_EC2_METADATA_DISABLED=true is set; unset it", ErrDisabled)
	}
	const name = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
	if endpoint := os.Getenv(name); endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("%w: %s is not an http URL; correct it, or unset it", ErrUnreachable, name)
		}
		return []string{strings.TrimRight(endpoint, "/")}, nil
	}
	switch mode := os.Getenv(name + "_MODE"); strings.ToLower(mode) {
	case "":
		return []string{endpointIPv4, endpointIPv6}, nil
	case "ipv4":
		return []string{endpointIPv4}, nil
	case "ipv6":
		return []string{endpointIPv6}, nil
	}
	return nil, fmt.Errorf("%w: %s_MODE is neither IPv4 nor IPv6; correct it, or unset it", ErrUnreachable, name)
}

// doer is the HTTP client below the SDK's. It notes what happened, because the
// SDK's errors drop it: a refused token and an unreachable host look alike.
type doer struct{ client *http.Client }

func newDoer(dial func(context.Context, string, string) (net.Conn, error)) doer {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return doer{&http.Client{
		Transport: &http.Transport{
			Proxy:              nil,
			DialContext:        dial,
			DisableCompression: true, // gzip'd userdata is data
			MaxIdleConns:       2,
			IdleConnTimeout:    30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do sends a request, and notes the outcome where the attempt asked for it.
func (d doer) Do(request *http.Request) (*http.Response, error) {
	o := observed(request.Context())
	response, err := d.client.Do(request)
	if err != nil {
		o.err = err
		return nil, err
	}
	o.path, o.status, o.err = request.URL.Path, response.StatusCode, nil
	if request.Method == http.MethodPut {
		o.token = response.StatusCode
	}
	response.Body = &limitedBody{response.Body, maxAnswer, o}
	return response, nil
}

// Close drops idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }
