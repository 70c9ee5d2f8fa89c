package aws_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/aws"
)

func TestAPostGoesToItsEndpoint(t *testing.T) {
	tests := map[string]struct{ service, region, variable, want string }{
		"CloudFormation":                 {"cloudformation", "eu-west-1", "", "cloudformation.eu-west-1.amazonaws.com/"},
		"Auto Scaling in China":          {"autoscaling", "cn-north-1", "", "autoscaling.cn-north-1.amazonaws.com.cn/"},
		"CloudFormation's own endpoint":  {"cloudformation", "eu-west-1", "AWS_ENDPOINT_URL_CLOUDFORMATION", "own.example/"},
		"Auto Scaling's own endpoint":    {"autoscaling", "eu-west-1", "AWS_ENDPOINT_URL_AUTO_SCALING", "own.example/"},
		"the endpoint of all":            {"autoscaling", "eu-west-1", "AWS_ENDPOINT_URL", "own.example/"},
		"another service's endpoint not": {"autoscaling", "eu-west-1", "AWS_ENDPOINT_URL_CLOUDFORMATION", "autoscaling.eu-west-1.amazonaws.com/"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{"_CLOUDFORMATION", "_AUTO_SCALING"} {
				t.Setenv("AWS_ENDPOINT_URL"+v, "")
			}
			c, cloud := newClient(t, tt.region, &role{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<DoResponse/>") })
			if tt.variable != "" {
				t.Setenv(tt.variable, "https://own.example")
			}
			form := url.Values{"Name": {"a"}}
			if err := c.Post(t.Context(), aws.Call{Service: tt.service, Target: "Do"}, "2010-05-15", form); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, cloud.hosts()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(url.Values{"Name": {"a"}}, form); diff != "" {
				t.Errorf("the caller's form was changed: %s", diff)
			}
			if got := cloud.requests()[0].Header.Get("Authorization"); !strings.Contains(got, "/"+tt.region+"/"+tt.service+"/aws4_request") {
				t.Error(got)
			}
		})
	}
}

func TestOnlyTheActionsOwnResponseIsSuccess(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		ok   bool
	}{
		"its own":      {`<DoResponse xmlns="http://x"><ResponseMetadata/></DoResponse>`, true},
		"another's":    {`<UndoResponse/>`, false},
		"a web page":   {`<!doctype html><title>hidden log in</title>`, false},
		"JSON":         {`{"hidden":1}`, false},
		"nothing":      {"", false},
		"a broken one": {"<DoResponse><hidden", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "")
			c, _ := newClient(t, "eu-west-1", &role{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.body) })
			err := c.Post(t.Context(), aws.Call{Service: "cloudformation", Target: "Do"}, "1", url.Values{})
			if (err == nil) != tt.ok || (err != nil && (strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "check the endpoint"))) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAQueryServicesErrorIsRead(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "")
	c, _ := newClient(t, "eu-west-1", &role{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
  <Error><Type>Sender</Type><Code>ValidationError</Code><Message>why</Message></Error><RequestId>1</RequestId></ErrorResponse>`)
	})
	err := c.Post(t.Context(), aws.Call{Service: "cloudformation", Target: "Do", Action: "a:Do", Resource: "arn:x", Hint: "look"}, "1", url.Values{})
	var got *aws.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff([]string{"ValidationError", "why", "look", "a:Do"}, []string{got.Code, got.Message, got.Hint, got.Action}); diff != "" {
		t.Error(diff)
	}
}
