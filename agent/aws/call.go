package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"

	"startup-bundle/agent/transport"
)

const (
	callTimeout = 30 * time.Second // of one try, answer read
	callLongest = time.Hour        // of all, where ctx has no deadline
	maxAnswer   = 1 << 20
)

// errLate is what a try ends with that took too long, wherever it hung.
var errLate = errors.New("timeout: no whole answer within " + callTimeout.String())

// Call is one call of a service that speaks JSON 1.1 ([Client.Do]) or the query
// protocol ([Client.Post]).
type Call struct {
	Service  string // ssm, as in the endpoint and the signature
	Target   string // AmazonSSM.GetParameter; of a query service the action's name alone: SignalResource
	Region   string // empty: the instance's
	Action   string // ssm:GetParameter, for the error
	Resource string // for the error; an ARN without a partition, arn::ssm:…, gets the region's
	Hint     string // for an error that is not about permission or credentials
}

// Do sends in as JSON and reads the answer into out. A busy or unreachable service
// is asked again until ctx's deadline (an hour, where it has none), other trouble
// for transport.Patience. The error is an *Error where the service answered.
func (c *Client) Do(ctx context.Context, call Call, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the request to %s: %w", call.Service, err)
	}
	answer, err := c.ask(ctx, call, body, http.Header{
		"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {call.Target},
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of %s: it is not JSON of the expected form; check the endpoint", call.Service)
	}
	return nil
}

// Post sends a call of the query protocol: form, with the call's target as Action
// and the version of the service's API. Success says nothing more than that. Tries
// and errors are those of [Client.Do].
func (c *Client) Post(ctx context.Context, call Call, version string, form url.Values) error {
	form = maps.Clone(form)
	form.Set("Action", call.Target)
	form.Set("Version", version)
	answer, err := c.ask(ctx, call, []byte(form.Encode()), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"},
	})
	if err != nil {
		return err
	}
	var root struct{ XMLName xml.Name }
	err = xml.Unmarshal(answer, &root)
	if err != nil || root.XMLName.Local != call.Target+"Response" {
		return fmt.Errorf("read the answer of %s: it is not a %sResponse; check the endpoint", call.Service, call.Target)
	}
	return nil
}

// ask sends body until there is an answer, and returns that where it is a success.
func (c *Client) ask(ctx context.Context, call Call, body []byte, header http.Header) ([]byte, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err := override(call.Service); err != nil {
		return nil, err
	}
	if call.Region != "" && !isRegion(call.Region) {
		return nil, fmt.Errorf("call %s: the ARN names no region; check it", call.Action)
	}
	trip := &callTrip{client: c, call: call, hash: sum(body)}
	var last error
	client := transport.NewClient(trip, 1<<30, c.patient(trip, &last))
	client.HTTPClient.CheckRedirect = transport.NoRedirect
	// The address is callTrip's to find: the region may come late.
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, "https://"+call.Service+".invalid/", body)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", call.Service, transport.Bare(err))
	}
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	switch {
	case err != nil && ctx.Err() != nil && last != nil:
		return nil, fmt.Errorf("call %s: %w; the last trouble was: %w", call.Action, ctx.Err(), last)
	case err != nil:
		return nil, fmt.Errorf("call %s: %w", call.Action, transport.Bare(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, c.explain(resp, trip)
	}
	return io.ReadAll(resp.Body)
}

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callLongest)
}

// patient returns the retry policy of one call, which keeps the trouble in last.
func (c *Client) patient(trip *callTrip, last *error) retryablehttp.CheckRetry {
	began := time.Now()
	return func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // Do returns ctx's error itself
		}
		again, hopeless := true, false
		var identity *IdentityError
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			return false, nil
		case err == nil:
			e := c.explain(resp, trip)
			c.forget(e.Code)
			again, hopeless, err = e.Busy(), e.hopeless(), e
		case errors.As(err, &identity) || transport.Answered(err):
			again = false
		}
		*last = transport.Bare(err)
		if hopeless || !again && time.Since(began) >= transport.Patience {
			return false, nil
		}
		c.log.Debug("call will be repeated", zap.String("service", trip.call.Service), zap.String("action", trip.call.Action), zap.Error(*last))
		return true, nil
	}
}

// explain returns the error that resp is.
func (c *Client) explain(resp *http.Response, trip *callTrip) *Error {
	e, call := ReadError(resp), trip.call
	e.Service, e.Action, e.Resource = call.Service, call.Action, call.Resource
	if rest, ok := strings.CutPrefix(call.Resource, "arn::"); ok {
		e.Resource = "arn:" + Partition(trip.region) + ":" + rest
	}
	switch {
	case e.Hint != "":
	case e.Denied():
		e.Hint = fmt.Sprintf("allow %s on %s to the instance's role", call.Action, e.Resource)
		if call.Service == "ssm" || call.Service == "secretsmanager" {
			e.Hint += ", and kms:Decrypt on the key it is encrypted under"
		}
	default:
		e.Hint = call.Hint
	}
	return e
}

// callTrip sends the tries of one call, each signed anew and read whole.
type callTrip struct {
	client *Client
	call   Call
	hash   string
	region string // that was asked last
}

func (t *callTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	t.region = t.call.Region
	if t.region == "" {
		var err error
		if t.region, err = t.client.region(r.Context()); err != nil {
			return nil, err
		}
	}
	if err := t.client.ready(r.Context()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), callTimeout, errLate)
	defer cancel()
	resp, err := t.try(ctx, r)
	if err != nil && errors.Is(context.Cause(ctx), errLate) {
		return nil, errLate
	}
	return resp, err
}

func (t *callTrip) try(ctx context.Context, r *http.Request) (*http.Response, error) {
	u, _, err := endpoint(t.call.Service, t.region)
	if err != nil {
		return nil, err
	}
	u.Path = "/"
	signed := r.Clone(ctx)
	signed.URL, signed.Host = u, u.Host
	if err := t.client.sign(signed, t.call.Service, t.region, t.hash); err != nil {
		return nil, err
	}
	resp, err := t.client.send.RoundTrip(signed)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
