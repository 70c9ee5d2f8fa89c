//go:build integration

package signal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/signal"
	"startup-bundle/internal/awstest"
	"startup-bundle/internal/daemon"
)

const oracleTimeout = 30 * time.Second // of one start of python

// The AWS CLI and the agent send the same forms, and both signatures are believed.
func TestTheAWSCLISendsTheSame(t *testing.T) {
	program := daemon.Find(t, "aws", "pip install awscli")
	noEndpoints(t)
	tests := map[string]struct {
		act  act
		args []string
	}{
		"signal-resource": {stack("web", "a b=&+ü~", signal.Failure), []string{
			"cloudformation", "signal-resource", "--stack-name", "web", "--logical-resource-id", "Web", "--unique-id", "a b=&+ü~", "--status", "FAILURE",
		}},
		"complete-lifecycle-action": {complete(signal.Success), []string{
			"autoscaling", "complete-lifecycle-action", "--auto-scaling-group-name", "web & more", "--lifecycle-hook-name", "ready", "--instance-id", "i-1", "--lifecycle-action-result", "CONTINUE",
		}},
		"record-lifecycle-action-heartbeat": {heartbeat, []string{
			"autoscaling", "record-lifecycle-action-heartbeat", "--auto-scaling-group-name", "web", "--lifecycle-hook-name", "ready", "--instance-id", "i-1",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cloud := &awstest.Cloud{Keys: keys(), Region: region}
			if err := tt.act(t.Context(), newSender(t, cloud)); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(cloud)
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), oracleTimeout)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, append(tt.args, "--endpoint-url", server.URL)...)
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8", "AWS_DEFAULT_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1",
				"AWS_ACCESS_KEY_ID=" + keys().ID, "AWS_SECRET_ACCESS_KEY=" + keys().Secret, "AWS_SESSION_TOKEN=" + keys().Token,
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if calls := cloud.Calls(); len(calls) != 2 || !cmp.Equal(calls[0], calls[1]) {
				t.Error(cmp.Diff(calls[:1], calls[1:]))
			}
		})
	}
}

// resign has botocore sign the request on its stdin anew, as of the same second.
const resign = `
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
r = json.load(sys.stdin)
request = AWSRequest("POST", r["url"], headers=r["headers"], data=r["body"].encode())
request.context["timestamp"] = r["headers"]["X-Amz-Date"]
auth = SigV4Auth(Credentials(r["id"], r["secret"], r["token"]), r["service"], r["region"])
print(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request), end="")
`

func TestBotocoreSignsTheSame(t *testing.T) {
	python := daemon.Find(t, "python3", "apt-get install python3")
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import botocore").CombinedOutput(); err != nil {
		t.Skipf("python3 has no botocore (pip install botocore): %s", out)
	}
	noEndpoints(t)
	for name, tt := range map[string]struct {
		act     act
		service string
	}{
		"CloudFormation": {stack("web", "a b=&+ü~", signal.Success), "cloudformation"},
		"Auto Scaling":   {complete(signal.Failure), "autoscaling"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := &awstest.Cloud{Keys: keys(), Region: region}
			var body []byte
			var sent http.Header
			err := tt.act(t.Context(), newSender(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ = io.ReadAll(r.Body)
				sent = r.Header.Clone()
				r.Body = io.NopCloser(bytes.NewReader(body))
				cloud.ServeHTTP(w, r)
			})))
			if err != nil {
				t.Fatal(err)
			}
			_, list, _ := strings.Cut(sent.Get("Authorization"), "SignedHeaders=")
			list, _, _ = strings.Cut(list, ",")
			headers := map[string]string{}
			for name := range strings.SplitSeq(list, ";") {
				if name != "host" { // botocore takes it from the URL
					headers[http.CanonicalHeaderKey(name)] = sent.Get(name)
				}
			}
			request, err := json.Marshal(map[string]any{
				"url": "https://" + tt.service + "." + region + ".amazonaws.com/", "headers": headers, "body": string(body),
				"id": keys().ID, "secret": keys().Secret, "token": keys().Token, "service": tt.service, "region": region,
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), oracleTimeout)
			defer cancel()
			cmd := exec.CommandContext(ctx, python, "-c", resign)
			cmd.Stdin = bytes.NewReader(request)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if !bytes.HasSuffix([]byte(sent.Get("Authorization")), append([]byte("Signature="), out...)) || len(out) == 0 {
				t.Errorf("botocore's signature is %q, ours: %s", out, sent.Get("Authorization"))
			}
		})
	}
}
