package packer

import (
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/template"

	"startup-bundle/internal/document"
	"startup-bundle/internal/module"
	"startup-bundle/internal/secret"
)

// Userdata returns the text to launch an instance with: the start-up document,
// at most document.MaxUserdata bytes. It holds the key.
func Userdata(d document.Document) ([]byte, error) {
	text, err := d.Marshal()
	if err != nil {
		return nil, err
	}
	return text, checkSize(text)
}

//go:embed recipe.sh.tmpl
var recipe string

// Script returns the shell recipe for an image without the agent: a script for
// bash, curl, openssl and tar that runs a bundle of FormatOpenSSL. It holds the
// passphrase.
func Script(d document.Document) ([]byte, error) {
	if _, err := d.Marshal(); err != nil { // what no document can say, no script does either
		return nil, err
	}
	switch {
	case !d.Key.IsSet():
		return nil, errors.New("the script needs the passphrase: give --key-file")
	case strings.HasPrefix(d.Key.Reveal(), "AGE-SECRET-KEY-"):
		return nil, errors.New("the script opens bundles of --format openssl, which have a passphrase: this key is an age identity")
	}
	for _, u := range d.URLs {
		p, err := url.Parse(u)
		if err != nil || (p.Scheme != "https" && p.Scheme != "http") {
			return nil, fmt.Errorf("the script fetches with curl: %s must start with https:// or http://", secret.URL(u))
		}
		if p.Scheme == "http" && d.SHA256 == "" {
			return nil, fmt.Errorf("nothing vouches for a bundle from %s: use https, or pin its digest with --bundle FILE", secret.URL(u))
		}
	}
	t, err := template.New("recipe").Funcs(template.FuncMap{"quote": alwaysQuoted}).Parse(recipe)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{
		"URLs": curlQuoted(d.URLs), "SHA256": d.SHA256, "Passphrase": d.Key.Reveal(), "Iterations": d.OpenSSLIterations, "Env": d.Env,
		"Skipped": module.ExitSkipped, "OnFailure": string(d.OnFailure),
	})
	if err != nil {
		return nil, err
	}
	return []byte(b.String()), checkSize([]byte(b.String()))
}

func checkSize(text []byte) error {
	if len(text) > document.MaxUserdata {
		return fmt.Errorf("the userdata is %d bytes, and EC2 takes at most %d: shorten env, the list of URLs or the other parts", len(text), document.MaxUserdata)
	}
	return nil
}

// alwaysQuoted returns s as one word of a shell, with quotes also if it needs none: the
// recipe is text that people compare. For a person's shell there is terminal.Quote.
func alwaysQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// curlQuoted makes URLs fit for a quoted string of a curl configuration, with their
// schemes in lower case.
func curlQuoted(urls []string) []string {
	quoted := make([]string, len(urls))
	for i, u := range urls {
		scheme, rest, _ := strings.Cut(u, ":")
		u = strings.ToLower(scheme) + ":" + rest
		quoted[i] = strings.NewReplacer(`"`, "%22", `\`, "%5C").Replace(u)
	}
	return quoted
}
