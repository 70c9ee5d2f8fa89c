package aws

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// partition is one of the separate worlds of AWS.
type partition struct{ name, suffix string }

// partitionOf returns the partition of region: its prefixes are those of
// aws-sdk-go-v2/internal/endpoints/awsrulesfn/partitions.json.
func partitionOf(region string) partition {
	for _, known := range []struct {
		prefix string
		partition
	}{
		{"cn-", partition{"aws-cn", "amazonaws.com.cn"}},
		{"us-gov-", partition{"aws-us-gov", "amazonaws.com"}},
		{"us-iso-", partition{"aws-iso", "c2s.ic.gov"}},
		{"us-isob-", partition{"aws-iso-b", "sc2s.sgov.gov"}},
		{"eu-isoe-", partition{"aws-iso-e", "cloud.adc-e.uk"}},
		{"us-isof-", partition{"aws-iso-f", "csp.hci.ic.gov"}},
		{"eusc-", partition{"aws-eusc", "amazonaws.eu"}},
	} {
		if strings.HasPrefix(region, known.prefix) {
			return known.partition
		}
	}
	return partition{"aws", "amazonaws.com"}
}

// Partition returns the name of the partition that region is in, as ARNs have it:
// aws, aws-cn, aws-us-gov…
func Partition(region string) string { return partitionOf(region).name }

// isRegion reports whether text can be a region: it becomes part of a host name.
func isRegion(text string) bool {
	return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`).MatchString(text)
}

// override returns the endpoint that the standard variables name for service: the
// service's own, then the one for all; nil where there is none.
func override(service string) (*url.URL, error) {
	own := map[string]string{
		"s3": "S3", "ssm": "SSM", "secretsmanager": "SECRETS_MANAGER", "kms": "KMS",
		"cloudformation": "CLOUDFORMATION", "autoscaling": "AUTO_SCALING",
	}[service]
	for _, name := range []string{"AWS_ENDPOINT_URL_" + own, "AWS_ENDPOINT_URL"} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("%s is not an http or https URL", name)
		}
		return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
	}
	return nil, nil
}

// endpoint returns where service answers in region, and whether that is AWS's own
// place.
func endpoint(service, region string) (u *url.URL, own bool, err error) {
	u, err = override(service)
	if u != nil || err != nil {
		return u, false, err
	}
	return &url.URL{Scheme: "https", Host: service + "." + region + "." + partitionOf(region).suffix}, true, nil
}
