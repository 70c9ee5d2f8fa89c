package awstest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"startup-bundle/internal/awstest"
)

// What is not a signed call is refused, and not kept. That signed ones are accepted
// is shown by agent/signal, with the agent's signer and with botocore's.
func TestTheCloudRefusesWhatIsNoSignedCall(t *testing.T) {
	const signal = "Action=SignalResource&Version=2010-05-15"
	for name, tt := range map[string]struct{ method, target, contentType, body, want string }{
		"no signature":        {"POST", "/", "application/x-www-form-urlencoded; charset=utf-8", signal, "SignatureDoesNotMatch"},
		"a GET":               {"GET", "/?" + signal, "", "", "MalformedQueryString"},
		"another path":        {"POST", "/x", "application/x-www-form-urlencoded", signal, "MalformedQueryString"},
		"JSON":                {"POST", "/", "application/json", "{}", "MalformedQueryString"},
		"no form":             {"POST", "/", "application/x-www-form-urlencoded", "%zz", "MalformedQueryString"},
		"an unknown action":   {"POST", "/", "application/x-www-form-urlencoded", "Action=DeleteStack&Version=2010-05-15", "InvalidAction"},
		"another API version": {"POST", "/", "application/x-www-form-urlencoded", "Action=SignalResource&Version=2011-01-01", "InvalidAction"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := &awstest.Cloud{Region: "eu-west-1"}
			r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			w := httptest.NewRecorder()
			cloud.ServeHTTP(w, r)
			if w.Code < http.StatusBadRequest || !strings.Contains(w.Body.String(), "<Code>"+tt.want+"</Code>") || len(cloud.Calls()) != 0 {
				t.Errorf("%d %s, %v", w.Code, w.Body, cloud.Calls())
			}
		})
	}
}
