package awstest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"startup-bundle/internal/awstest"
)

// The keys, time and signatures are those of AWS's published test suite of the
// algorithm, aws-sig-v4-test-suite: cases get-vanilla,
// get-vanilla-query-order-key-case and post-x-www-form-urlencoded.
func published() (keys awstest.Keys, at time.Time) {
	return awstest.Keys{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
		time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
}

func request(method, target, body, headers, signature string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "example.amazonaws.com"
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+headers+", Signature="+signature)
	return r
}

const (
	posted          = "Param1=value1"
	postedHeaders   = "content-type;host;x-amz-date"
	postedSignature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
)

func TestPublishedSignaturesAreVerified(t *testing.T) {
	keys, at := published()
	tests := map[string]struct{ method, target, body, headers, signature string }{
		"a GET":   {"GET", "/", "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"a query": {"GET", "/?Param2=value2&Param1=value1", "", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"a form":  {"POST", "/", posted, postedHeaders, postedSignature},
		"no path": {"GET", "http://example.amazonaws.com", "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(tt.method, tt.target, tt.body, tt.headers, tt.signature)
			if err := awstest.Verify(r, []byte(tt.body), keys, "us-east-1", "service", at); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNothingElseIsVerified(t *testing.T) {
	type try struct {
		r               *http.Request
		body            string
		keys            awstest.Keys
		region, service string
		at              time.Time
	}
	tests := map[string]struct {
		change func(*try)
		want   string
	}{
		"another body":    {func(c *try) { c.body += "0" }, "canonical request"},
		"another secret":  {func(c *try) { c.keys.Secret += "x" }, "canonical request"},
		"another key":     {func(c *try) { c.keys.ID = "AKIDOTHER" }, "scoped"},
		"another token":   {func(c *try) { c.keys.Token = "t" }, "token"},
		"another region":  {func(c *try) { c.region = "eu-west-1" }, "scoped"},
		"another service": {func(c *try) { c.service = "iam" }, "scoped"},
		"another host":    {func(c *try) { c.r.Host = "evil.example" }, "canonical request"},
		"another method":  {func(c *try) { c.r.Method = "PUT" }, "canonical request"},
		"another path":    {func(c *try) { c.r.URL.Path = "/x" }, "canonical request"},
		"another query":   {func(c *try) { c.r.URL.RawQuery = "a=b" }, "canonical request"},
		"too late":        {func(c *try) { c.at = c.at.Add(16 * time.Minute) }, "expired"},
		"too early":       {func(c *try) { c.at = c.at.Add(-16 * time.Minute) }, "expired"},
		"no date":         {func(c *try) { c.r.Header.Del("X-Amz-Date") }, "X-Amz-Date"},
		"no signature":    {func(c *try) { c.r.Header.Del("Authorization") }, "Authorization"},
		"half an Authorization": {func(c *try) {
			a := c.r.Header.Get("Authorization")
			c.r.Header.Set("Authorization", a[:strings.Index(a, ", Signature")])
		}, "Authorization"},
		"another signature": {func(c *try) {
			c.r.Header.Set("Authorization", strings.Replace(c.r.Header.Get("Authorization"), "=ff", "=00", 1))
		}, "canonical request"},
		"an unsigned header of AWS": {func(c *try) { c.r.Header.Set("X-Amz-Target", "x") }, "x-amz-target is not signed"},
		"an unsigned host": {func(c *try) {
			c.r.Header.Set("Authorization", strings.Replace(c.r.Header.Get("Authorization"), "host;", "", 1))
		}, "host is not signed"},
		"headers out of order": {func(c *try) {
			c.r.Header.Set("Authorization", strings.Replace(c.r.Header.Get("Authorization"), postedHeaders, "host;content-type;x-amz-date", 1))
		}, "order"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			keys, at := published()
			c := try{request("POST", "/", posted, postedHeaders, postedSignature), posted, keys, "us-east-1", "service", at}
			tt.change(&c)
			err := awstest.Verify(c.r, []byte(c.body), c.keys, c.region, c.service, c.at)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wJalr") {
				t.Errorf("got %v", err)
			}
		})
	}
}
