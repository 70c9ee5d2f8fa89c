package aws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/transport"
)

func refusal(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.x#%s","Message":"why"}`, code)
	}
}

func TestACallIsRepeatedWhileThereIsHope(t *testing.T) {
	call := aws.Call{Service: "ssm", Target: "AmazonSSM.GetParameter", Action: "ssm:GetParameter", Resource: "arn:x", Hint: "check it"}
	tests := map[string]struct {
		then   http.HandlerFunc
		last   int // requests after which it works; 0: never
		region string
		within time.Duration // that it takes; 0: the deadline of 10 minutes
		want   []string
	}{
		"at once":           {then: ok, last: 1, within: time.Second},
		"throttled":         {then: refusal(400, "ThrottlingException"), last: 6, within: time.Minute},
		"out of order":      {then: refusal(500, "InternalServerError"), last: 6, within: time.Minute},
		"cut off":           {then: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, last: 6, within: time.Minute},
		"a role that comes": {then: refusal(400, "AccessDeniedException"), last: 3, within: 30 * time.Second},
		"silent": {
			then: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			want: []string{"deadline", "timeout"},
		},
		"an answer without an end": {
			then: func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					_, _ = io.WriteString(w, " ")
					_ = http.NewResponseController(w).Flush()
					_ = transport.Sleep(r.Context(), 20*time.Second)
				}
			},
			want: []string{"deadline", "no whole answer within 30s"},
		},
		"throttled for ever": {then: refusal(400, "ThrottlingException"), want: []string{"deadline", "ThrottlingException"}},
		"denied":             {then: refusal(400, "AccessDeniedException"), within: time.Minute, want: []string{"AccessDeniedException (why)", "allow ssm:GetParameter on arn:x"}},
		"missing":            {then: refusal(400, "ParameterNotFound"), within: time.Minute, want: []string{"ParameterNotFound", "check it"}},
		"hopeless":           {then: refusal(400, "ValidationException"), within: time.Second, want: []string{"ValidationException"}},
		"a redirect":         {then: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a", http.StatusTemporaryRedirect) }, within: time.Minute, want: []string{"307"}},
		"no JSON":            {then: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"hidden`) }, within: time.Second, want: []string{"not JSON"}},
		"a false region":     {then: ok, region: "evil.example/", within: time.Second, want: []string{"ARN"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{"", "_SSM"} {
				t.Setenv("AWS_ENDPOINT_URL"+v, "")
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var count atomic.Int64
				c, cloud := connect(t, "eu-west-1", &role{}, func(w http.ResponseWriter, r *http.Request) {
					if n := count.Add(1); test.last > 0 && int(n) >= test.last {
						ok(w, r)
						return
					}
					test.then(w, r)
				})
				call := call
				call.Region = test.region
				began := time.Now()
				var out struct{}
				err := c.Do(ctx, call, map[string]string{"Name": "hidden"}, &out)
				took := time.Since(began)
				if (err == nil) != (test.want == nil) {
					t.Fatalf("got %v", err)
				}
				for _, want := range test.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in %q", want, err)
					}
				}
				if err != nil && strings.Contains(err.Error(), "hidden") {
					t.Errorf("it leaks: %v", err)
				}
				if (test.within == 0 && took < 9*time.Minute) || (test.within > 0 && took > test.within) {
					t.Errorf("it took %s", took)
				}
				for _, r := range cloud.requests() {
					if r.Method != http.MethodPost || r.Host != "ssm.eu-west-1.amazonaws.com" || r.Header.Get("X-Amz-Target") != call.Target ||
						!strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/ssm/aws4_request") {
						t.Errorf("%s %s %v", r.Method, r.Host, r.Header)
					}
				}
			})
		})
	}
}

func TestAnARNGetsThePartitionOfTheRegion(t *testing.T) {
	for _, v := range []string{"", "_SSM"} {
		t.Setenv("AWS_ENDPOINT_URL"+v, "")
	}
	for region, want := range map[string]string{"eu-west-1": "arn:aws:ssm:*:*:parameter/x", "cn-north-1": "arn:aws-cn:ssm:*:*:parameter/x"} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := connect(t, region, &role{}, refusal(400, "AccessDeniedException"))
			call := aws.Call{Service: "ssm", Target: "AmazonSSM.GetParameter", Action: "ssm:GetParameter", Resource: "arn::ssm:*:*:parameter/x"}
			err := c.Do(t.Context(), call, struct{}{}, &struct{}{})
			var refused *aws.Error
			if !errors.As(err, &refused) || refused.Resource != want || !strings.Contains(err.Error(), "allow ssm:GetParameter on "+want+" ") {
				t.Errorf("%s: %v", region, err)
			}
		})
	}
}
