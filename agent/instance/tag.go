package instance

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// ErrNoTags is an instance whose tags are not in its metadata, where they are only
// if somebody asked for it.
var ErrNoTags = errors.New("the instance's tags are not in its metadata")

// Tag returns the value of the instance's tag called name, or an empty string where
// it has no such tag. The error is ErrNoTags where tags are not in the metadata at
// all. Both take [Settle] to be sure of.
func (c *Client) Tag(ctx context.Context, name string) (string, error) {
	type answer struct {
		value string
		found bool
	}
	got, err := patiently(ctx, c, c.waitForData(), func(ctx context.Context, client *imds.Client) (answer, error) {
		value, err := askMetadata(ctx, client, "tags/instance/"+name)
		if !notFound(err) {
			return answer{value, true}, err
		}
		_, err = askMetadata(ctx, client, "tags/instance")
		return answer{}, err
	}, func(got answer, err error) verdict {
		switch {
		case notFound(err) || err == nil && !got.found:
			return settles
		case err != nil:
			return again
		}
		return final
	})
	switch {
	case notFound(err) && !errors.Is(err, ErrUnreachable):
		return "", fmt.Errorf("get tag %s: %w; enable them with aws ec2 modify-instance-metadata-options --instance-metadata-tags enabled", name, ErrNoTags)
	case err != nil:
		return "", fmt.Errorf("get tag %s: %w", name, err)
	}
	return got.value, nil
}
