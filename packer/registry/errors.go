package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// explain says what went wrong between us and the registry of ref, what to do
// about it, and no secret.
func (c *Client) explain(verb string, ref reference, err error) error {
	cause, advice := c.advise(ref, err)
	if cause == nil {
		return c.secrets.scrub(fmt.Errorf("%s %s: %w", verb, ref, err))
	}
	text := strings.Replace(err.Error(), cause.Error(), advice.Error(), 1)
	return c.secrets.scrub(&explained{fmt.Sprintf("%s %s: %s", verb, ref, text), []error{advice, err}})
}

// explained is an error with a text of our own.
type explained struct {
	text string
	errs []error
}

func (e *explained) Error() string   { return e.text }
func (e *explained) Unwrap() []error { return e.errs }

// advise finds the part of err that a library wrote, and says it better; nil where
// there is none.
func (c *Client) advise(ref reference, err error) (cause, advice error) {
	var (
		answer *errcode.ErrorResponse
		wire   *url.Error
	)
	switch {
	case errors.As(err, &answer):
		return answer, c.adviseAnswer(ref, answer)
	case errors.Is(err, errdef.ErrNotFound):
		return err, fmt.Errorf("%w: check the repository and the tag (a registry may also hide what it does not let you read)", ErrNotFound)
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return err, fmt.Errorf("%s wants a login and there are no credentials for it: docker login %s", ref.Registry, ref.Registry)
	case errors.As(err, &wire): // its own text has the whole URL
		if errors.Is(err, http.ErrSchemeMismatch) {
			return wire, fmt.Errorf("%s speaks no https: --plain-http allows http", ref.Registry)
		}
		return wire, fmt.Errorf("%s cannot be reached: %w: check the host and the network", ref.Registry, wire.Err)
	}
	return nil, nil
}

func (c *Client) adviseAnswer(ref reference, answer *errcode.ErrorResponse) error {
	said := http.StatusText(answer.StatusCode)
	if len(answer.Errors) > 0 {
		said = short(c.secrets.clean(answer.Errors.Error())) // in this order: half a secret is not recognised
	}
	status := fmt.Sprintf("%s answers %d (%s)", ref.Registry, answer.StatusCode, said)
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("%s: docker login %s, with an account that may use %s", status, ref.Registry, ref.Repository)
	case http.StatusForbidden:
		return fmt.Errorf("%s: the account may not do this in %s; some registries also want the repository made first", status, ref.Repository)
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s: check the repository; some registries want it made first", ErrNotFound, status)
	}
	return errors.New(status)
}

// short bounds what a stranger may add to a message of ours, on one line.
func short(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(printable(text)), " ")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// printable takes out what moves a terminal's cursor; the ends of lines stay.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, text)
}

// notThere reports whether a registry answered that it has no such repository or tag.
func notThere(err error) bool {
	var answer *errcode.ErrorResponse
	return errors.Is(err, errdef.ErrNotFound) || (errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound)
}
