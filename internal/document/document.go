// Package document is the start-up document: the YAML that names a bundle, its
// key and how to run it. The packer writes it, the agent reads it.
package document

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"startup-bundle/internal/secret"
)

const (
	// Magic is the first line of every document: a YAML comment, and no secret,
	// because cloud-init logs the beginning of what it does not know.
	Magic = "#startup-bundle"

	// MIMEType is the content type of a document inside multipart userdata.
	MIMEType = "text/x-startup-bundle"

	// MaxUserdata is how many bytes of userdata EC2 accepts, counted before
	// its own base64.
	MaxUserdata = 16_384

	// MaxSize is how many bytes of text [Parse] accepts: twice what an instance
	// can be given, for a document that was compressed.
	MaxSize = 32 << 10

	// MaxURLs is how many mirrors one document may list.
	MaxURLs = 16

	// MaxTimeout is the longest Timeout.
	MaxTimeout = 24 * time.Hour

	// DefaultTimeout is the Timeout of a document that names none.
	DefaultTimeout = time.Hour

	// MaxOpenSSLIterations is the most rounds of PBKDF2 asked of a boot: about
	// ten seconds of a slow core.
	MaxOpenSSLIterations = 10_000_000
)

// OnFailure says what a failed module does to those after it. Empty: as the
// bundle's personality says.
type OnFailure string

// The values of [OnFailure].
const (
	Stop     OnFailure = "stop"     // the rest does not run; the default, where the bundle does not say either
	Continue OnFailure = "continue" // the rest runs, the run fails at its end
)

// RunPolicy says how often a bundle runs.
type RunPolicy string

// The values of [RunPolicy].
const (
	Once      RunPolicy = "once"       // once per instance and userdata; the default
	EveryBoot RunPolicy = "every-boot" // at each boot
)

// Document is a start-up document. [Parse] fills in every default;
// [Document.Marshal] takes a zero Run or Timeout as the default.
type Document struct {
	// URLs are mirrors of one bundle, to be tried in turn: at least one, with
	// the schemes https, http, s3 or file. They may hold credentials (presigned
	// URLs do): print them only through [secret.URL].
	URLs []string

	// Key is the passphrase or age identity, as it was written: one line. At
	// most one of Key and KeyFrom is set; neither means not encrypted.
	Key secret.String

	// KeyFrom says where the key is: ssm:NAME, secretsmanager:ID,
	// kms:CIPHERTEXT (base64) or file:/ABSOLUTE/PATH.
	KeyFrom string

	// SHA256 is the digest of the bundle file as fetched: 64 lower-case
	// hexadecimal digits, or empty.
	SHA256 string

	OnFailure OnFailure
	Run       RunPolicy

	// Timeout bounds the whole run: over zero, at most MaxTimeout.
	Timeout time.Duration

	// OpenSSLIterations is what openssl enc -pbkdf2 -iter was given; zero
	// where the document does not say.
	OpenSSLIterations int

	// Env goes to every module. Nil where there is none. Values may be
	// secrets: never log them.
	Env map[string]string
}

// Equal reports whether both say the same, defaults filled in or not.
func (d Document) Equal(other Document) bool {
	d, other = d.withDefaults(), other.withDefaults()
	return slices.Equal(d.URLs, other.URLs) &&
		d.Key.Equal(other.Key) &&
		d.KeyFrom == other.KeyFrom &&
		d.SHA256 == other.SHA256 &&
		d.OnFailure == other.OnFailure &&
		d.Run == other.Run &&
		d.Timeout == other.Timeout &&
		d.OpenSSLIterations == other.OpenSSLIterations &&
		maps.Equal(d.Env, other.Env)
}

// UnvouchedAdvice is what to say of each URL of [Document.Unvouched].
const UnvouchedAdvice = "only a bundle under an age passphrase will be taken: plain http vouches for nothing; add the line sha256: or serve it by https, unless the image trusts signatures alone"

// Unvouched returns the URLs of which neither a digest nor the transport vouches
// for what is fetched there.
func (d Document) Unvouched() (urls []string) {
	for _, u := range d.URLs {
		if strings.HasPrefix(strings.ToLower(u), "http:") && d.SHA256 == "" {
			urls = append(urls, u)
		}
	}
	return urls
}

func (d Document) withDefaults() Document {
	if d.Run == "" {
		d.Run = Once
	}
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	return d
}

// errChanged is a document that YAML cannot carry as it is.
var errChanged = errors.New("a field changes when it is written and read again: " +
	"write the digest in lower case, without prefix, and use no text that is not UTF-8")
