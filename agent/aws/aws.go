// Package aws sends requests to AWS, signed with SigV4 by the instance's role:
// reads of S3 objects, calls of the services that keep keys, and of those that wait
// for a machine to be ready.
package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.uber.org/zap"

	"startup-bundle/agent/transport"
)

// CredentialsProvider is the SDK's, so that its instance role provider fits.
type CredentialsProvider = sdk.CredentialsProvider

// Credentials are what signs.
type Credentials = sdk.Credentials

// Config is what a Client is made from. All of it is needed.
type Config struct {
	Logger      *zap.Logger
	Transport   *http.Transport // from transport.New
	Credentials CredentialsProvider
	// Region returns the instance's region. It may wait for instance metadata.
	Region func(context.Context) (string, error)
}

// Client signs and sends. It is safe for concurrent use and holds nothing that
// needs closing.
type Client struct {
	log         *zap.Logger
	send        http.RoundTripper
	credentials *sdk.CredentialsCache
	home        func(context.Context) (string, error)
	signer      *v4.Signer
}

// New returns a client. It asks for neither credentials nor region before it has
// something to sign.
func New(c Config) *Client {
	return &Client{
		log: c.Logger, send: transport.Watch(c.Transport), home: c.Region,
		credentials: sdk.NewCredentialsCache(c.Credentials), signer: v4.NewSigner(),
	}
}

// IdentityError says that nothing can be signed, because the instance could not tell
// who it is: no credentials, or no region. Nobody was asked but instance metadata,
// which was waited for already.
type IdentityError struct {
	What string
	Err  error
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("no credentials (no instance role): get the %s: %s; "+
		"attach an instance profile with a role", e.What, e.Err)
}

// Unwrap returns the cause.
func (e *IdentityError) Unwrap() error { return e.Err }

var errRegion = errors.New("it is not the name of a region")

// region returns the instance's region.
func (c *Client) region(ctx context.Context) (string, error) {
	region, err := c.home(ctx)
	if err == nil && !isRegion(region) {
		err = errRegion
	}
	if err != nil {
		return "", &IdentityError{"region", err}
	}
	return region, nil
}

// ready waits until there is something to sign with. The patience is that of instance
// metadata, not that of one request.
func (c *Client) ready(ctx context.Context) error {
	if _, err := c.credentials.Retrieve(ctx); err != nil {
		return &IdentityError{"role's credentials", err}
	}
	return nil
}

// sign signs r, whose body hashes to hash, as it is now: headers that are added
// later are not covered.
func (c *Client) sign(r *http.Request, service, region, hash string) error {
	ctx := r.Context()
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return &IdentityError{"role's credentials", err}
	}
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	return c.signer.SignHTTP(ctx, credentials, r, hash, service, region, time.Now(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = service == "s3" // S3 signs paths as they are sent
	})
}

// forget drops the credentials where code says that they are no longer good.
func (c *Client) forget(code string) {
	switch code {
	case "ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException":
		c.credentials.Invalidate()
	}
}

func sum(body []byte) string {
	digest := sha256.Sum256(body)
	return hex.EncodeToString(digest[:])
}
