// Package awstest is a stand-in for the query services of AWS that wait for a
// machine, for tests: it believes no signature but those it has computed itself, by
// the published algorithm and without an SDK.
package awstest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxForm   = 64 << 10
	requestID = "7a62c49f-347e-4fc4-9331-6e8e00000000"
)

// Keys are the credentials that a signature is checked with.
type Keys struct{ ID, Secret, Token string }

// Refusal is an answer other than success.
type Refusal struct {
	Status        int // of HTTP
	Code, Message string
	Times         int // it is given; zero means always
}

// Cloud is CloudFormation and Auto Scaling in one place and one region, as an
// http.Handler. It gives its refusals in their order, and then success. It is safe
// for concurrent use.
type Cloud struct {
	Keys     Keys
	Region   string
	Refusals []Refusal

	mu    sync.Mutex
	calls []url.Values
	given int // refusals, of the first that is left
}

// actions is what the services can do here: the service and its API's version, of
// the services' public API models.
func actions() map[string]struct{ service, version string } {
	return map[string]struct{ service, version string }{
		"SignalResource":                 {"cloudformation", "2010-05-15"},
		"CompleteLifecycleAction":        {"autoscaling", "2011-01-01"},
		"RecordLifecycleActionHeartbeat": {"autoscaling", "2011-01-01"},
	}
}

// Calls returns the forms that came in signed as they must be, in their order,
// those that were refused as well.
func (c *Cloud) Calls() []url.Values {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		return // the client went away
	}
	form, err := url.ParseQuery(string(body))
	action := form.Get("Action")
	known, ok := actions()[action]
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch {
	case r.Method != http.MethodPost || r.URL.RequestURI() != "/" || err != nil || mediaType != "application/x-www-form-urlencoded":
		refuse(w, Refusal{Status: http.StatusBadRequest, Code: "MalformedQueryString", Message: "not a form posted to /"})
		return
	case !ok || form.Get("Version") != known.version:
		refuse(w, Refusal{Status: http.StatusBadRequest, Code: "InvalidAction", Message: "no such action in this version"})
		return
	}
	if err := Verify(r, body, c.Keys, c.Region, known.service, time.Now()); err != nil {
		refuse(w, Refusal{Status: http.StatusForbidden, Code: "SignatureDoesNotMatch", Message: err.Error()})
		return
	}
	if refusal := c.take(form); refusal != nil {
		refuse(w, *refusal)
		return
	}
	result := ""
	if known.service == "autoscaling" { // whose answers wrap a result, empty or not
		result = "<" + action + "Result/>"
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, "<%sResponse xmlns=\"http://%s.amazonaws.com/doc/%s/\">%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%[1]sResponse>\n",
		action, known.service, known.version, result, requestID)
}

// take keeps form, and returns the refusal that it gets.
func (c *Cloud) take(form url.Values) *Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, form)
	if len(c.Refusals) == 0 {
		return nil
	}
	refusal := c.Refusals[0]
	if c.given++; c.given == refusal.Times {
		c.Refusals, c.given = c.Refusals[1:], 0
	}
	return &refusal
}

func refuse(w http.ResponseWriter, refusal Refusal) {
	var message bytes.Buffer
	_ = xml.EscapeText(&message, []byte(refusal.Message))
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(refusal.Status)
	_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>\n",
		refusal.Code, message.String(), requestID)
}
