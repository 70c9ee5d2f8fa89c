package source

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
	"startup-bundle/packer/registry"
)

// Reference names a module somewhere else, as a personality writes it:
//
//	oci://registry.example/team/hello:1.2
//	git+https://git.example/modules.git//hello?ref=v1.2.0
//	https://files.example/hello-1.2.tgz#sha256=9f86d0…
type Reference struct {
	Text string // as written
	Name string // of the module, as far as the text tells

	origin string // oci, git or archive
	url    string // of the repository or the archive
	path   string // in a repository, slash-separated; empty: all of it
	ref    string // a branch, a tag or a commit, or a registry's tag; empty: git's HEAD
	sha256 string // of an archive, hex
}

// The kinds of places.
const (
	originOCI     = "oci"
	originGit     = "git"
	originArchive = "archive"
)

// ErrReference means that a reference cannot be read.
var ErrReference = errors.New("not a reference")

var (
	refForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	fileForm   = regexp.MustCompile(`^([a-z][a-z0-9-]*?)(?:[-_.]v?[0-9].*)?\.(?:tgz|tar|tar\.gz|tar\.zst|tar\.xz)$`)
)

// IsRemote reports whether a module's name is a reference to somewhere else.
func IsRemote(text string) bool { return strings.Contains(text, "://") }

// ParseReference reads a reference. Its errors are ErrReference and say what is right.
func ParseReference(text string) (Reference, error) {
	r := Reference{Text: text}
	scheme, _, _ := strings.Cut(text, "://")
	var err error
	switch scheme {
	case "oci":
		err = r.readOCI()
	case "git+https", "git+ssh", "git+file", "git+http":
		err = r.readGit(strings.TrimPrefix(scheme, "git+"))
	case "https", "http":
		err = r.readArchive(scheme)
	default:
		err = errors.New("it begins with oci://, git+https://, git+ssh://, git+file:// or https://")
	}
	if err != nil {
		return Reference{}, fmt.Errorf("%w: %s: %w", ErrReference, secret.URL(text), err)
	}
	return r, nil
}

// String returns the reference without what may be a secret.
func (r Reference) String() string {
	if r.origin == originArchive {
		return secret.URL(r.url)
	}
	return r.Text
}

func (r *Reference) readOCI() error {
	r.origin = originOCI
	name, tag, err := registry.Parts(r.Text)
	r.Name, r.ref = name, tag
	return err
}

func (r *Reference) readGit(transport string) error {
	r.origin = originGit
	u, err := url.Parse(strings.TrimPrefix(r.Text, "git+"))
	if err != nil {
		return errors.New("it is not a URL")
	}
	if err := public(u, transport, transport == "ssh"); err != nil {
		return err
	}
	query := u.Query()
	r.ref = query.Get("ref")
	query.Del("ref")
	if len(query) > 0 || u.Fragment != "" {
		return errors.New("it is like git+https://HOST/REPOSITORY.git//FOLDER?ref=TAG, with nothing more")
	}
	if r.ref != "" && (!refForm.MatchString(r.ref) || strings.Contains(r.ref, "..")) {
		return errors.New("its ref is no branch, tag or commit")
	}
	u.RawQuery = ""
	// Of three slashes, as in file:///, the first two are the scheme's.
	repository, folder, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "//")
	u.Path, u.RawPath = "/"+repository, ""
	r.url, r.path = u.String(), strings.Trim(folder, "/")
	r.Name = strings.TrimSuffix(path.Base(u.Path), ".git")
	if r.path != "" {
		if path.Clean(r.path) != r.path || strings.HasPrefix(r.path, "..") || strings.HasPrefix(r.path, "-") {
			return errors.New("its folder is no plain path")
		}
		r.Name = path.Base(r.path)
	}
	if repository == "" {
		return errors.New("it names no repository")
	}
	return module.CheckName(r.Name)
}

func (r *Reference) readArchive(scheme string) error {
	r.origin = originArchive
	u, err := url.Parse(r.Text)
	if err != nil {
		return errors.New("it is not a URL")
	}
	if err := public(u, scheme, false); err != nil {
		return err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return errors.New("it has a query, which may be a credential and would stay in the personality and its lock: " +
			"use a URL without one, or download the archive and use its folder")
	}
	digest, ok := strings.CutPrefix(u.Fragment, "sha256=")
	if !ok || !digestForm.MatchString(digest) {
		return errors.New("an archive is named with its digest: append #sha256= and the 64 digits that sha256sum prints")
	}
	u.Fragment, u.RawFragment = "", ""
	r.url, r.sha256 = u.String(), digest
	name := fileForm.FindStringSubmatch(path.Base(u.Path))
	if name == nil {
		return errors.New("an archive is called like its module, as hello.tgz or hello-1.2.tar.gz")
	}
	r.Name = name[1]
	return module.CheckName(r.Name)
}

// public refuses what does not belong into a file that is shared: a password, and a
// connection that anybody may change. Of ssh, the user is a name like any other.
func public(u *url.URL, transport string, user bool) error {
	_, password := u.User.Password()
	switch {
	case password, u.User != nil && !user:
		return errors.New("it holds a user or password: leave it out, git's credential helpers or the machine's own access are used")
	case u.Host == "" && transport != "file":
		return errors.New("it names no host")
	case strings.HasPrefix(u.Host, "-"), strings.HasPrefix(u.User.Username(), "-"):
		return errors.New("its host begins with a hyphen")
	case transport == "http" && !loopback(u.Hostname()):
		return errors.New("http is for this machine alone: use https")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
