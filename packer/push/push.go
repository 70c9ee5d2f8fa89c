// Package push puts a bundle where instances fetch it: into an object of S3.
package push

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"startup-bundle/internal/document"
)

// How long a presigned URL may be good for. The most is S3's own limit.
const (
	MinPresign = time.Minute
	MaxPresign = 7 * 24 * time.Hour
)

// digestKey names the object's metadata that holds the bundle's sha256, in hex.
const digestKey = "sha256"

// Errors that callers may want to tell apart. All say what to do.
var (
	// ErrUsage means that the target or another option cannot be meant.
	ErrUsage = errors.New("cannot be pushed there")
	// ErrThere means that the object exists and holds something else.
	ErrThere = errors.New("something else is there")
)

// Options say what to push, where, and as whom. Who asks is found as by every AWS
// tool: environment, shared configuration, single sign-on, the instance's role.
type Options struct {
	File     string        // the bundle
	Target   string        // s3://bucket/key; a key that ends in / gets the file's name
	Profile  string        // of the shared configuration; empty: the usual
	Region   string        // of the bucket; empty: it is asked for
	Endpoint string        // another server than AWS's; empty: the usual
	Replace  bool          // another object in its place
	Presign  time.Duration // also make a URL that is good for so long; 0: none
	// Progress is told how many bytes are there. It is called by one goroutine at a
	// time, with a done that only grows; nil: nobody is told.
	Progress func(done, total int64)
}

// Result is what became of it.
type Result struct {
	URL       string `json:"url"` // for the userdata: s3://bucket/key, with ?versionId= where the bucket keeps versions
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256"`    // of the bundle, hex
	Unchanged bool   `json:"unchanged"` // it was there already
	// Presigned is an https URL that needs no credentials, until Expires. Whoever has
	// it may fetch the bundle.
	Presigned string     `json:"presigned_url,omitempty"`
	Expires   *time.Time `json:"presigned_expires,omitempty"`
}

// Run pushes a bundle:
//
//  1. read the file: is it a bundle, and what is its digest
//  2. find the bucket's region, and whether the object is there
//  3. upload, every part under its checksum, nothing else replaced
//  4. look at what is there now
//  5. presign
//
// When it fails, or ctx ends, no part of an upload stays behind.
func Run(ctx context.Context, o Options) (*Result, error) {
	to, err := parseTarget(o.Target, filepath.Base(o.File))
	if err != nil {
		return nil, err
	}
	if o.Presign != 0 && (o.Presign < MinPresign || o.Presign > MaxPresign) {
		return nil, fmt.Errorf("%w: a presigned URL is good for %v to %v, not for %v", ErrUsage, MinPresign, MaxPresign, o.Presign)
	}
	file, err := openBundle(o.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	client, err := connect(ctx, o, to)
	if err != nil {
		return nil, err
	}
	result := &Result{Bytes: file.size, SHA256: file.sha256}
	version, found, err := client.look(ctx, file)
	switch {
	case err != nil:
		return nil, err
	case found == this:
		result.Unchanged = true
	case found == another && !o.Replace:
		return nil, there("upload " + to.String())
	default:
		if version, err = client.upload(ctx, file, o); err != nil {
			return nil, err
		}
	}
	result.URL = to.url(version)
	if o.Presign > 0 {
		result.Presigned, result.Expires, err = client.presign(ctx, version, o.Presign)
	}
	return result, err
}

// target is an object of S3.
type target struct{ bucket, key string }

// parseTarget reads s3://bucket/key as the agent does: the key is all that follows,
// as it stands.
func parseTarget(text, name string) (target, error) {
	rest, ok := strings.CutPrefix(text, "s3://")
	bucket, key, slash := strings.Cut(rest, "/")
	switch {
	case !ok || bucket == "":
		return target{}, fmt.Errorf("%w: %q is not like s3://bucket/web.bundle", ErrUsage, text)
	case strings.Contains(key, "?"):
		return target{}, fmt.Errorf("%w: a key with a ? in it cannot be named in the userdata", ErrUsage)
	case !slash || key == "":
		key = name
	case strings.HasSuffix(key, "/"):
		key += name
	}
	to := target{bucket, key}
	if err := document.CheckURL(to.String()); err != nil {
		return target{}, fmt.Errorf("%w: the userdata cannot name it: %w", ErrUsage, err)
	}
	return to, nil
}

func (t target) String() string { return "s3://" + t.bucket + "/" + t.key }

func (t target) url(version string) string {
	if version == "" || version == "null" { // the bucket keeps none
		return t.String()
	}
	return t.String() + "?versionId=" + url.QueryEscape(version)
}

// found is what is where the bundle is to go.
type found int

const (
	nothing found = iota
	this          // the very file
	another
)

// look reports what the object holds, and in which version. Where the caller may not
// look there is nothing: the upload will tell.
func (c *client) look(ctx context.Context, file *bundleFile) (version string, what found, err error) {
	head, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.to.bucket, Key: &c.to.key})
	switch {
	case status(err) == 404 || status(err) == 403:
		return "", nothing, nil
	case err != nil:
		return "", nothing, c.explain("look for "+c.to.String(), "s3:GetObject", err)
	case head.Metadata[digestKey] == file.sha256 && aws.ToInt64(head.ContentLength) == file.size:
		return aws.ToString(head.VersionId), this, nil
	}
	return "", another, nil
}

// upload makes the object of the file, and returns its version.
func (c *client) upload(ctx context.Context, file *bundleFile, o Options) (version string, err error) {
	in := &transfermanager.UploadObjectInput{
		Bucket: &c.to.bucket, Key: &c.to.key, Body: file, ContentType: aws.String("application/octet-stream"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, Metadata: map[string]string{digestKey: file.sha256},
	}
	if !o.Replace { // it may have come since the look, or could not be seen
		in.IfNoneMatch = aws.String("*")
	}
	doing := "upload " + c.to.String()
	out, err := transfermanager.New(aborting{c.s3}).UploadObject(ctx, in, func(t *transfermanager.Options) {
		t.ObjectProgressListeners.Register(&progress{report: o.Progress, total: file.size})
	})
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	}
	if err != nil {
		return "", c.explain(doing, "s3:PutObject", err)
	}
	if err := file.unchanged(); err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	version = aws.ToString(out.VersionID)
	input := &s3.HeadObjectInput{Bucket: &c.to.bucket, Key: &c.to.key}
	if version != "" && version != "null" {
		input.VersionId = &version
	}
	head, err := c.s3.HeadObject(ctx, input)
	switch {
	case status(err) == 403: // whoever may write need not be allowed to read
		return version, nil
	case err != nil:
		return "", c.explain("look at "+c.to.String()+" after the upload", "s3:GetObject", err)
	case aws.ToInt64(head.ContentLength) != file.size || head.Metadata[digestKey] != file.sha256:
		return "", fmt.Errorf("%s: it has %d bytes there and %d here: somebody else wrote it at the same time; push again", doing, aws.ToInt64(head.ContentLength), file.size)
	}
	return version, nil
}

// presign makes a URL for the object. It is good no longer than what signs it.
func (c *client) presign(ctx context.Context, version string, good time.Duration) (string, *time.Time, error) {
	in := &s3.GetObjectInput{Bucket: &c.to.bucket, Key: &c.to.key}
	if version != "" && version != "null" {
		in.VersionId = &version
	}
	request, err := s3.NewPresignClient(c.s3).PresignGetObject(ctx, in, s3.WithPresignExpires(good))
	if err != nil {
		return "", nil, c.explain("presign "+c.to.String(), "s3:GetObject", err)
	}
	expires := time.Now().Add(good).UTC().Truncate(time.Second)
	if c.credentials.CanExpire && c.credentials.Expires.Before(expires) {
		expires = c.credentials.Expires.UTC().Truncate(time.Second)
	}
	return request.URL, &expires, nil
}

// progress hands on what transfermanager says, which its workers do each for itself:
// in turn, and no news that is old.
type progress struct {
	report func(done, total int64)
	total  int64
	mu     sync.Mutex
	done   int64
}

// OnObjectBytesTransferred is that of transfermanager.ObjectBytesTransferredListener.
func (p *progress) OnObjectBytesTransferred(_ context.Context, e *transfermanager.ObjectBytesTransferredEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if done := min(e.BytesTransferred, p.total); p.report != nil && done > p.done {
		p.done = done
		p.report(done, p.total)
	}
}
