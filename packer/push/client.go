package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

const regionHeader = "X-Amz-Bucket-Region"

// anyRegion is where a bucket of an unknown region is asked for: S3 answers there
// for all of a partition.
const anyRegion = "us-east-1"

// client is S3 in the region of one bucket.
type client struct {
	s3          *s3.Client
	to          target
	region      string
	credentials aws.Credentials
}

// connect finds out who asks and where the bucket is.
func connect(ctx context.Context, o Options, to target) (*client, error) {
	cfg, err := config.LoadDefaultConfig(ctx, func(l *config.LoadOptions) error {
		l.SharedConfigProfile, l.Region, l.BaseEndpoint = o.Profile, o.Region, o.Endpoint
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	c := &client{to: to, region: cfg.Region}
	if c.credentials, err = cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("no AWS credentials: name a profile with --profile or AWS_PROFILE, log in with aws sso login or aws configure: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = anyRegion
	}
	c.s3 = c.in(cfg)
	_, err = c.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &to.bucket})
	c.region = cfg.Region
	if is := bucketRegion(err); is != "" && is != cfg.Region {
		if o.Region != "" {
			return nil, fmt.Errorf("%w: the bucket %s is in region %s, not in %s: leave --region out", ErrUsage, to.bucket, is, o.Region)
		}
		cfg.Region, c.region = is, is
		c.s3, err = c.in(cfg), nil
	}
	// Who may not look at the bucket may still be allowed to write into it.
	if err != nil && status(err) != http.StatusForbidden {
		return nil, c.explain("find the bucket "+to.bucket, "s3:ListBucket", err)
	}
	return c, nil
}

// abortPatience is how long the end of an upload that was called off may take.
const abortPatience = 20 * time.Second

// aborting is S3 for transfermanager, which calls off a failed upload under the very
// context that has ended: the parts would stay, and cost money.
type aborting struct{ *s3.Client }

// AbortMultipartUpload is that of [s3.Client], also after ctx has ended.
func (a aborting) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, options ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortPatience)
	defer cancel()
	return a.Client.AbortMultipartUpload(ctx, in, options...)
}

// in returns S3 as cfg has it. Another server than AWS's need not have a name for
// each bucket.
func (c *client) in(cfg aws.Config) *s3.Client {
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
		o.HTTPClient = whole{o.HTTPClient}
	})
}

// bucketRegion is what an error of S3 says about where the bucket is.
func bucketRegion(err error) string {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil {
		return ""
	}
	return answer.Response.Header.Get(regionHeader)
}

// status is that of the HTTP answer that err is, or 0.
func status(err error) int {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.HTTPStatusCode()
}

func there(doing string) error {
	return fmt.Errorf("%s: %w: push under another name, or replace it with --force", doing, ErrThere)
}

// explain says what to do about an error of S3.
func (c *client) explain(doing, action string, err error) error {
	if status(err) == http.StatusPreconditionFailed || status(err) == http.StatusConflict {
		return there(doing)
	}
	var said smithy.APIError
	if !errors.As(err, &said) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	hint := map[string]string{
		"NotFound":              "there is no such bucket: check its name, and in which account you are",
		"NoSuchBucket":          "there is no such bucket: check its name, and in which account you are",
		"Forbidden":             c.allow(action),
		"AccessDenied":          c.allow(action),
		"ExpiredToken":          "the credentials have expired: log in again",
		"ExpiredTokenException": "the credentials have expired: log in again",
		"InvalidAccessKeyId":    "these credentials are not known: check AWS_PROFILE and the environment",
		"SignatureDoesNotMatch": "the secret key is wrong, or a proxy changes the request",
		"RequestTimeTooSkewed":  "set this machine's clock: it says " + time.Now().UTC().Format(time.RFC3339),
	}[said.ErrorCode()]
	if hint == "" {
		return fmt.Errorf("%s: S3 says %s: %s", doing, said.ErrorCode(), said.ErrorMessage())
	}
	return fmt.Errorf("%s: S3 says %s: %s", doing, said.ErrorCode(), hint)
}

func (c *client) allow(action string) string {
	resource := c.to.bucket + "/" + c.to.key
	if action == "s3:ListBucket" {
		resource = c.to.bucket
	}
	return fmt.Sprintf("allow %s on arn:%s:s3:::%s", action, partition(c.region), resource)
}

// partition is the one of a region, for hints.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
