package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// Userdata returns the raw userdata. Nil with a nil error means that there is
// surely none: the service, otherwise ready, said so for all of [Settle]. Early
// in a boot it may say so before the userdata is there.
func (c *Client) Userdata(ctx context.Context) ([]byte, error) {
	text, err := patiently(ctx, c, c.waitForData(), askUserdata, func(text []byte, err error) verdict {
		switch {
		case err != nil:
			return again
		case text == nil:
			return settles
		}
		return final
	})
	if err != nil {
		return nil, fmt.Errorf("get userdata: %w", err)
	}
	return text, nil
}

// askUserdata returns nil where there is no userdata though the service is
// ready: an instance id proves that.
func askUserdata(ctx context.Context, client *imds.Client) ([]byte, error) {
	out, err := client.GetUserData(ctx, &imds.GetUserDataInput{})
	if err == nil {
		text, err := readAll(out.Content)
		if err != nil || len(text) > 0 {
			return text, err
		}
	} else if err := observed(ctx).cause(err); !notFound(err) {
		return nil, err
	}
	id, err := askMetadata(ctx, client, "instance-id")
	if err == nil && id == "" {
		err = errors.New("metadata gives no instance id")
	}
	return nil, err
}

// Identity is what an instance knows of itself. InstanceID is always set; any
// other field may be empty where the service does not tell.
type Identity struct {
	InstanceID       string // "i-…"
	InstanceType     string // such as "t3.micro"
	Region           string
	AvailabilityZone string
	Account          string // 12 digits
	Image            string // "ami-…"
	Architecture     string // "x86_64" or "arm64"
}

// Identity returns the identity from the instance identity document, and from
// single metadata values what the document lacks. Once known it is
// not asked for again.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	return c.identify(ctx, c.waitForData())
}

func (c *Client) identify(ctx context.Context, w wait) (Identity, error) {
	if known := c.identity.Load(); known != nil {
		return *known, nil
	}
	type answer struct {
		Identity
		partial bool // the document was not there
	}
	got, err := patiently(ctx, c, w, func(ctx context.Context, client *imds.Client) (answer, error) {
		id, found, err := askIdentity(ctx, client)
		return answer{id, !found}, err
	}, func(got answer, err error) verdict {
		switch {
		case err != nil:
			return again
		case got.partial:
			return settles
		}
		return final
	})
	if err != nil {
		return Identity{}, fmt.Errorf("get instance identity: %w", err)
	}
	c.identity.Store(&got.Identity)
	return got.Identity, nil
}

// askIdentity reports as found whether there is a document that can be read.
func askIdentity(ctx context.Context, client *imds.Client) (id Identity, found bool, err error) {
	out, err := client.GetDynamicData(ctx, &imds.GetDynamicDataInput{Path: "instance-identity/document"})
	if err == nil {
		text, err := readAll(out.Content)
		if err != nil {
			return Identity{}, false, err
		}
		id, found = parseIdentity(text)
	} else if err := observed(ctx).cause(err); !notFound(err) {
		return Identity{}, false, err
	}
	for path, field := range map[string]*string{
		"instance-id": &id.InstanceID, "instance-type": &id.InstanceType, "ami-id": &id.Image,
		"placement/region": &id.Region, "placement/availability-zone": &id.AvailabilityZone,
	} {
		if *field != "" {
			continue
		}
		*field, err = askMetadata(ctx, client, path)
		if err != nil && (path == "instance-id" || !notFound(err)) {
			return Identity{}, false, err
		}
	}
	if id.InstanceID == "" {
		return Identity{}, false, errors.New("metadata gives no instance id")
	}
	return id, found, nil
}

func parseIdentity(text []byte) (Identity, bool) {
	var document struct {
		InstanceID       string `json:"instanceId"`
		InstanceType     string `json:"instanceType"`
		Region           string `json:"region"`
		AvailabilityZone string `json:"availabilityZone"`
		AccountID        string `json:"accountId"`
		ImageID          string `json:"imageId"`
		Architecture     string `json:"architecture"`
	}
	if json.Unmarshal(text, &document) != nil {
		return Identity{}, false
	}
	return Identity{
		InstanceID: document.InstanceID, InstanceType: document.InstanceType, Region: document.Region,
		AvailabilityZone: document.AvailabilityZone, Account: document.AccountID, Image: document.ImageID,
		Architecture: document.Architecture,
	}, true
}

// Region returns the region the instance runs in, never empty.
func (c *Client) Region(ctx context.Context) (string, error) {
	id, err := c.identify(ctx, c.waitForRole())
	if err != nil {
		return "", err
	}
	if id.Region == "" {
		return "", errors.New("get region: instance metadata tells none; is this EC2's own service?")
	}
	return id.Region, nil
}

// Credentials returns the provider of the role's credentials. It keeps them,
// and asks anew five minutes before they expire. Its error wraps [ErrNoRole]
// where the instance has no role.
func (c *Client) Credentials() aws.CredentialsProvider { return c.creds }

func newCredentials(c *Client) *aws.CredentialsCache {
	provider := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = roleMetadata{c} })
	return aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 5 * time.Minute })
}

// roleMetadata lends the client's patience to the SDK's provider.
type roleMetadata struct{ client *Client }

// GetMetadata has the signature that ec2rolecreds asks for.
func (r roleMetadata) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, _ ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	text, err := patiently(ctx, r.client, r.client.waitForRole(), func(ctx context.Context, client *imds.Client) (string, error) {
		return askMetadata(ctx, client, in.Path)
	}, func(_ string, err error) verdict {
		switch {
		case err == nil:
			return final
		case notFound(err):
			return settles // a fresh instance profile takes seconds to appear
		}
		return again
	})
	if notFound(err) && !errors.Is(err, ErrUnreachable) {
		return nil, fmt.Errorf("%w: %w; attach an instance profile to it", ErrNoRole, err)
	}
	if err != nil {
		return nil, err
	}
	return &imds.GetMetadataOutput{Content: io.NopCloser(strings.NewReader(text))}, nil
}

func askMetadata(ctx context.Context, client *imds.Client, path string) (string, error) {
	out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", observed(ctx).cause(err)
	}
	text, err := readAll(out.Content)
	return string(text), err
}

func readAll(body io.ReadCloser) ([]byte, error) {
	defer func() { _ = body.Close() }()
	return io.ReadAll(body)
}
