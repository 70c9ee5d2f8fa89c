package awstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	maxSkew   = 15 * time.Minute // between the signer's clock and the service's
	isoTime   = "20060102T150405Z"
)

// Verify checks the signature of r, as a server received it with body, against keys
// at now: "Signature Version 4" in the IAM user guide, for every service but S3. The
// error says what is wrong and holds no secret.
func Verify(r *http.Request, body []byte, keys Keys, region, service string, now time.Time) error {
	claim, err := parseClaim(r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	stamp := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(isoTime, stamp)
	scope := strings.Join([]string{stamp[:min(8, len(stamp))], region, service, "aws4_request"}, "/")
	switch {
	case err != nil:
		return errors.New("X-Amz-Date is no time")
	case now.Sub(signed).Abs() > maxSkew:
		return fmt.Errorf("signature expired: %s is too far from %s", stamp, now.UTC().Format(isoTime))
	case claim.credential != keys.ID+"/"+scope:
		return fmt.Errorf("credential %s should be scoped to %s", claim.credential, scope)
	case r.Header.Get("X-Amz-Security-Token") != keys.Token:
		return errors.New("the security token is not the one that belongs to the key")
	}
	if err := covers(claim.headers, r.Header); err != nil {
		return err
	}
	canonical := canonicalRequest(r, body, claim.headers)
	toSign := strings.Join([]string{algorithm, stamp, scope, digest([]byte(canonical))}, "\n")
	key := []byte("AWS4" + keys.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	if want := hex.EncodeToString(mac(key, toSign)); !hmac.Equal([]byte(want), []byte(claim.signature)) {
		return fmt.Errorf("the canonical request should have been %q", canonical)
	}
	return nil
}

// claim is what an Authorization header says.
type claim struct {
	credential string
	headers    []string
	signature  string
}

func parseClaim(authorization string) (claim, error) {
	rest, ok := strings.CutPrefix(authorization, algorithm+" ")
	if !ok {
		return claim{}, errors.New("no " + algorithm + " in Authorization")
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	c := claim{fields["Credential"], strings.Split(fields["SignedHeaders"], ";"), fields["Signature"]}
	if len(fields) != 3 || c.credential == "" || len(c.signature) != hex.EncodedLen(sha256.Size) {
		return claim{}, errors.New("credential, SignedHeaders and Signature are what Authorization needs")
	}
	return c, nil
}

// covers reports what must be signed and is not: the host, the type of the content,
// and every header of AWS's own.
func covers(signed []string, header http.Header) error {
	if !slices.IsSorted(signed) {
		return errors.New("SignedHeaders are not in their order")
	}
	for name := range header {
		name = strings.ToLower(name)
		if (name == "content-type" || strings.HasPrefix(name, "x-amz-")) && !slices.Contains(signed, name) {
			return fmt.Errorf("header %s is not signed", name)
		}
	}
	if !slices.Contains(signed, "host") {
		return errors.New("header host is not signed")
	}
	return nil
}

func canonicalRequest(r *http.Request, body []byte, headers []string) string {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(&b, "%s\n%s\n%s\n", r.Method, encode(path, "/"), canonicalQuery(r.URL.Query()))
	for _, name := range headers {
		fmt.Fprintf(&b, "%s:%s\n", name, canonicalHeader(r, name))
	}
	fmt.Fprintf(&b, "\n%s\n%s", strings.Join(headers, ";"), digest(body))
	return b.String()
}

func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, encode(name, "")+"="+encode(value, ""))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// canonicalHeader returns the header's values, spaces around them dropped and inside
// them squeezed.
func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	var values []string
	for _, value := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(value), " "))
	}
	return strings.Join(values, ",")
}

// encode is the algorithm's UriEncode: all but unreserved characters and those of
// keep.
func encode(text, keep string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
