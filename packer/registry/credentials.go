package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"startup-bundle/internal/secret"
)

// dockerCredentials looks credentials up as docker does. A helper program gets
// the registry's name on its stdin. Errors of the store are not passed on: one of
// them quotes the entry that it cannot read, and a helper may print anything.
func dockerCredentials(known *secrets) auth.CredentialFunc {
	load := sync.OnceValues(func() (*credentials.DynamicStore, error) {
		return credentials.NewStoreFromDocker(credentials.StoreOptions{})
	})
	return func(ctx context.Context, host string) (auth.Credential, error) {
		store, err := load()
		if err != nil {
			return auth.EmptyCredential, errors.New("docker's config.json (in $DOCKER_CONFIG, or ~/.docker) cannot be read, or is no JSON: mend it, or log in anew with docker login")
		}
		found, err := credentials.Credential(store)(ctx, host)
		if ctx.Err() != nil {
			return auth.EmptyCredential, ctx.Err()
		}
		if err != nil {
			return auth.EmptyCredential, fmt.Errorf("the credentials for %s that %s names cannot be read: if it names a credential helper, try that by itself (echo %s | docker-credential-NAME get), else log in anew with docker login %s",
				host, store.ConfigPath(), host, host)
		}
		known.note(found.Password, found.RefreshToken, found.AccessToken)
		return found, nil
	}
}

// secrets are what no error may repeat.
type secrets struct {
	mu    sync.Mutex
	words []string
}

func (s *secrets) note(words ...string) {
	const tooShort = 4 // hides nothing, and garbles every sentence
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range words {
		if len(w) >= tooShort && !slices.Contains(s.words, w) {
			s.words = append(s.words, w)
		}
	}
}

// noteHeader notes the credentials of an Authorization header.
func (s *secrets) noteHeader(header string) {
	scheme, value, _ := strings.Cut(header, " ")
	s.note(value)
	if plain, err := base64.StdEncoding.DecodeString(value); err == nil && strings.EqualFold(scheme, "basic") {
		_, password, _ := strings.Cut(string(plain), ":")
		s.note(password)
	}
}

// query is the part of a URL that may be a credential: storage that a registry
// redirects to is signed there.
const query = `(https?://[^\s"?]*)\?[^\s"]*`

// clean returns a text without secrets, and without what moves a terminal's cursor.
func (s *secrets) clean(text string) string {
	text = regexp.MustCompile(query).ReplaceAllString(text, "$1")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.words {
		text = strings.ReplaceAll(text, w, secret.Redacted)
	}
	return printable(text)
}

// scrub returns err with a text that is clean.
func (s *secrets) scrub(err error) error { return &scrubbed{s.clean(err.Error()), err} }

// scrubbed is an error without its secrets.
type scrubbed struct {
	text string
	err  error
}

func (s *scrubbed) Error() string { return s.text }

// Is answers for the error below, which itself stays hidden.
func (s *scrubbed) Is(target error) bool { return errors.Is(s.err, target) }
