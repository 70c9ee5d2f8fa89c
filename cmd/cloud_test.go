package cmd_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"startup-bundle/internal/awstest"
	"startup-bundle/internal/imdstest"
)

// cloud OUT [tag=NAME=VALUE]… [refuse=TIMES,STATUS,CODE,MESSAGE]…: an instance with
// a role and, if any is given, tags in its metadata; and CloudFormation and Auto
// Scaling, which write the form of every rightly signed call to OUT. It replaces an
// earlier one. $HOOKS is the folder of the shipped hooks.
func cloud(ts *testscript.TestScript, _ bool, args []string) {
	in := imdstest.Sample()
	in.Role = "web"
	in.Credentials = imdstest.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "of-this-test", Token: "token+of/this=test"}
	aws := &awstest.Cloud{
		Keys:   awstest.Keys{ID: in.Credentials.AccessKeyID, Secret: in.Credentials.SecretAccessKey, Token: in.Credentials.Token},
		Region: in.Region,
	}
	for _, arg := range args[1:] {
		kind, value, _ := strings.Cut(arg, "=")
		switch kind {
		case "tag":
			if in.Tags == nil {
				in.Tags = map[string]string{}
			}
			name, value, _ := strings.Cut(value, "=")
			in.Tags[name] = value
		case "refuse":
			parts := strings.SplitN(value, ",", 4)
			times, err := strconv.Atoi(parts[0])
			ts.Check(err)
			status, err := strconv.Atoi(parts[1])
			ts.Check(err)
			aws.Refusals = append(aws.Refusals, awstest.Refusal{Times: times, Status: status, Code: parts[2], Message: parts[3]})
		default:
			ts.Fatalf("cloud knows no %s", arg)
		}
	}
	out := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(out, nil, 0o600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		aws.ServeHTTP(w, r) // so little is sent only when this returns
		var lines strings.Builder
		for _, form := range aws.Calls() {
			fmt.Fprintln(&lines, form.Encode())
		}
		_ = os.WriteFile(out, []byte(lines.String()), 0o600)
	}))
	ts.Defer(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL", server.URL)
	metadata, err := imdstest.NewServer(in)
	ts.Check(err)
	ts.Defer(metadata.Close)
	ts.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	hooks, err := filepath.Abs("../scripts/hooks")
	ts.Check(err)
	ts.Setenv("HOOKS", hooks)
}

// receive OUT STATUS: a server at $URL that answers with the status, and writes
// what is posted to it to OUT.
func receive(ts *testscript.TestScript, _ bool, args []string) {
	out := ts.MkAbs(args[0])
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var lines strings.Builder
		fmt.Fprintln(&lines, r.Method, r.RequestURI, r.Header.Get("Content-Type"))
		_ = r.Write(&lines)
		_ = os.WriteFile(out, []byte(lines.String()), 0o600)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	ts.Defer(server.Close)
	ts.Setenv("URL", server.URL)
}
