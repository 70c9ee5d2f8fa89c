package aws

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
)

// regionHops is how often one request follows a bucket to another region.
const regionHops = 2

// Object is one object of S3. As an http.RoundTripper it sends any GET, with
// whatever range and condition it carries, to where the object is, signed anew
// each time; what URL the request names is of no matter.
type Object struct {
	client               *Client
	bucket, key, version string
	region               atomic.Pointer[string] // where to ask: the instance's, or where the bucket was found to be
}

// Object returns the object that raw names: s3://bucket/key or
// s3://bucket/key?versionId=ID. The key is taken as it stands, as the AWS CLI
// takes it: nothing in it is percent-decoded, and only "?versionId=" ends it. The ID may
// be percent-encoded, as startup-packer push prints it.
func (c *Client) Object(raw string) (*Object, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !strings.EqualFold(scheme, "s3") {
		return nil, errors.New("it does not begin with s3://")
	}
	o := &Object{client: c}
	if at := strings.LastIndex(rest, "?versionId="); at >= 0 {
		rest, o.version = rest[:at], rest[at+len("?versionId="):]
		if decoded, err := url.PathUnescape(o.version); err == nil {
			o.version = decoded
		}
	}
	o.bucket, o.key, _ = strings.Cut(rest, "/")
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`).MatchString(o.bucket):
		return nil, errors.New("it names no bucket: s3://bucket/key")
	case o.key == "" || len(o.key) > 1024:
		return nil, errors.New("it names no key of 1 to 1024 bytes: s3://bucket/key")
	}
	_, err := override("s3")
	return o, err
}

// RoundTrip sends r for the object. An answer other than success has its body read
// already, as far as Explain needs it.
func (o *Object) RoundTrip(r *http.Request) (*http.Response, error) {
	for hop := 0; ; hop++ {
		region, err := o.where(r)
		if err != nil {
			return nil, err
		}
		resp, err := o.send(r, region)
		if err != nil || resp.StatusCode < http.StatusMultipleChoices {
			return resp, err
		}
		trouble := ReadError(resp)
		o.client.forget(trouble.Code)
		other := trouble.region
		if hop == regionHops || other == region || !isRegion(other) {
			return resp, nil
		}
		o.region.Store(&other)
	}
}

// where returns the region to ask in.
func (o *Object) where(r *http.Request) (string, error) {
	if known := o.region.Load(); known != nil {
		return *known, nil
	}
	home, err := o.client.region(r.Context())
	if err == nil {
		o.region.CompareAndSwap(nil, &home)
	}
	return home, err
}

func (o *Object) send(r *http.Request, region string) (*http.Response, error) {
	u, err := o.url(region)
	if err != nil {
		return nil, err
	}
	signed := r.Clone(r.Context())
	signed.URL, signed.Host = u, u.Host
	if err := o.client.sign(signed, "s3", region, sum(nil)); err != nil {
		return nil, err
	}
	return o.client.send.RoundTrip(signed)
}

// url returns the object's place in region. A bucket whose name has dots does not
// fit S3's certificate as a host and goes into the path, as all do where the
// endpoint is somebody else's.
func (o *Object) url(region string) (*url.URL, error) {
	u, own, err := endpoint("s3", region)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + o.key
	if own && regexp.MustCompile(`^[a-z0-9-]{3,63}$`).MatchString(o.bucket) {
		u.Host = o.bucket + "." + u.Host
	} else {
		u.Path = "/" + o.bucket + u.Path
	}
	u.RawPath = escape(u.Path)
	if o.version != "" {
		u.RawQuery = "versionId=" + url.QueryEscape(o.version)
	}
	return u, nil
}

// escape encodes path as S3 signs it: all but unreserved characters and slashes.
func escape(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Explain returns why resp is not the object, with S3's own code and what to
// allow or to check.
func (o *Object) Explain(resp *http.Response) *Error {
	e := ReadError(resp)
	var region string
	if known := o.region.Load(); known != nil {
		region = *known
	}
	bucket := "arn:" + partitionOf(region).name + ":s3:::" + o.bucket
	e.Service, e.Action, e.Resource = "s3", "s3:GetObject", bucket+"/"+o.key
	if o.version != "" {
		e.Action = "s3:GetObjectVersion"
	}
	switch {
	case e.Code == "NoSuchBucket":
		e.Hint = "check the bucket's name"
	case e.Status == http.StatusNotFound:
		e.Hint = "check the key, to the letter, and that the object was uploaded"
	case e.Code == "AccessDenied" || (e.Code == "" && e.Status == http.StatusForbidden):
		e.Hint = fmt.Sprintf("allow %s on %s to the instance's role, and in the bucket's policy; or the key is wrong: "+
			"without s3:ListBucket on %s a missing key is denied, not missing", e.Action, e.Resource, bucket)
	case e.Hint == "":
		e.Hint = "look the code up in the S3 error list"
	}
	return e
}
