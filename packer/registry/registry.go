// Package registry keeps modules in OCI registries: it publishes a module's
// folder under its version, finds out what a tag names, and pulls a module back
// by its digest.
//
// Only the packer uses it. What a registry says is believed as far as a digest
// proves it: a tag may name anything tomorrow, so [Client.Resolve] turns it into
// a digest once, and [Client.Pull] takes nothing but a digest. The artifact's form
// is in docs/sharing.md.
package registry

import (
	"errors"
	"net/http"
	"time"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"startup-bundle/internal/bundle"
)

// Errors that callers may branch on.
var (
	// ErrNotFound means that the registry has nothing under the reference.
	ErrNotFound = errors.New("not in the registry")
	// ErrNotModule means that what the reference names is no module.
	ErrNotModule = errors.New("not a module")
	// ErrMismatch means that bytes are not those that a digest promised.
	ErrMismatch = errors.New("the content is not what its digest promises")
	// ErrPublished means that the version is there already with other content.
	ErrPublished = errors.New("this version is published already")
)

// Options say how to talk to registries. The zero value is of use.
type Options struct {
	// PlainHTTP allows http for every host. Without it only a registry on
	// loopback is spoken to in clear, as docker does.
	PlainHTTP bool
	// UserAgent names the program; empty: startup-packer.
	UserAgent string
	// Limits bound what Pull downloads and unpacks.
	Limits bundle.Limits
	// Stall is how long a transfer may stand still; zero: DefaultStall.
	Stall time.Duration
}

// Client talks to registries. It is safe for use by several goroutines.
//
// Credentials are those of docker: config.json in $DOCKER_CONFIG or ~/.docker,
// its auths, credsStore and credHelpers. They are asked for when a registry wants
// them, and never shown.
type Client struct {
	opts    Options
	auth    *auth.Client
	secrets *secrets
}

// New returns a client. It reads nothing yet.
func New(opts Options) *Client {
	if opts.UserAgent == "" {
		opts.UserAgent = "startup-packer"
	}
	if opts.Stall <= 0 {
		opts.Stall = DefaultStall
	}
	if opts.Limits.Bytes <= 0 {
		opts.Limits.Bytes = bundle.DefaultMaxBytes
	}
	known := &secrets{}
	return &Client{
		opts:    opts,
		secrets: known,
		auth: &auth.Client{
			Client:     newHTTPClient(opts.Stall, known),
			Header:     http.Header{"User-Agent": {opts.UserAgent}},
			Credential: dockerCredentials(known),
			Cache:      auth.NewCache(),
			ClientID:   "startup-packer",
		},
	}
}

// repository returns the place that ref names, without asking it anything.
func (c *Client) repository(ref reference) *remote.Repository {
	return &remote.Repository{
		Client:           c.auth,
		Reference:        ref.Reference,
		PlainHTTP:        c.opts.PlainHTTP || ref.loopback(),
		MaxMetadataBytes: MaxManifest,
		TagListMaxPages:  maxTagPages,
	}
}
