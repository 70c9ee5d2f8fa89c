package registry

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// Scheme starts a reference to a module in a registry.
const Scheme = "oci://"

// reference is host, repository, and a tag or digest, or neither.
type reference struct {
	registry.Reference
}

// parse reads oci://HOST[:PORT]/REPOSITORY, with :TAG or @sha256:DIGEST or nothing
// behind. A digest wins over a tag before it.
func parse(text string) (reference, error) {
	rest, ok := strings.CutPrefix(text, Scheme)
	if !ok {
		return reference{}, fmt.Errorf("%q is not in a registry: write it as %sHOST/REPOSITORY:TAG", text, Scheme)
	}
	if strings.Contains(rest, "@") && !strings.Contains(rest, "@sha256:") {
		if host, _, _ := strings.Cut(rest, "/"); strings.Contains(host, "@") { // user:password@host
			return reference{}, errors.New("a reference holds no credentials: log in with docker login instead")
		}
		return reference{}, fmt.Errorf("%q: a digest is written @sha256: and 64 hex digits", text)
	}
	ref, err := registry.ParseReference(rest)
	if err != nil {
		return reference{}, fmt.Errorf("%q: write it as %sHOST/REPOSITORY:TAG, the repository in small letters: %w", text, Scheme, err)
	}
	return reference{ref}, nil
}

// String is the reference as people write it.
func (r reference) String() string { return Scheme + r.Reference.String() }

// at is the same repository at another tag or digest.
func (r reference) at(tagOrDigest string) reference {
	r.Reference.Reference = tagOrDigest
	return r
}

// wanted is the tag or digest; latest where there is none.
func (r reference) wanted() string { return r.ReferenceOrDefault() }

// pinned reports whether the reference is by digest.
func (r reference) pinned() bool { return strings.HasPrefix(r.Reference.Reference, "sha256:") }

// name is the repository's last part.
func (r reference) name() string { return path.Base(r.Repository) }

// loopback reports whether the registry is on this machine.
func (r reference) loopback() bool {
	host := r.Registry
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// Parts returns a reference's repository name, which is its last part, and the tag
// or digest that it asks for.
func Parts(ref string) (name, wanted string, err error) {
	r, err := parse(ref)
	if err != nil {
		return "", "", err
	}
	return r.name(), r.wanted(), nil
}

// ByDigest returns the same repository at a digest.
func ByDigest(ref, digest string) (string, error) {
	r, err := parse(ref)
	if err != nil {
		return "", err
	}
	return r.at(digest).String(), nil
}
