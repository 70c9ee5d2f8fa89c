package signal_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/instance"
	"startup-bundle/agent/signal"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/awstest"
	"startup-bundle/internal/pipenet"
)

const region = "eu-west-1"

func keys() awstest.Keys {
	return awstest.Keys{ID: "AKIDTEST", Secret: "of-this-test", Token: "token/of+this=test"}
}

type role struct{}

func (role) Retrieve(context.Context) (sdk.Credentials, error) {
	k := keys()
	return sdk.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}, nil
}

// newSender returns a sender of i-1 whose signals end at cloud: the two services are
// the only hosts there are.
func newSender(t *testing.T, cloud http.Handler) signal.Sender {
	t.Helper()
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	rt.Proxy = nil
	dial := pipenet.New(t, map[string]http.Handler{
		"cloudformation." + region + ".amazonaws.com": cloud, "autoscaling." + region + ".amazonaws.com": cloud,
	})
	rt.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, network, address)
	}
	t.Cleanup(rt.CloseIdleConnections)
	return signal.Sender{
		AWS: aws.New(aws.Config{
			Logger: zap.NewNop(), Transport: rt, Credentials: role{},
			Region: func(context.Context) (string, error) { return region, nil },
		}),
		Instance: instance.Identity{InstanceID: "i-1", Region: region, Account: "123456789012"},
	}
}

// noEndpoints clears what of the environment would lead elsewhere. A bubble of
// synctest may not.
func noEndpoints(t *testing.T) {
	for _, name := range []string{"", "_CLOUDFORMATION", "_AUTO_SCALING"} {
		t.Setenv("AWS_ENDPOINT_URL"+name, "")
	}
}

type act func(context.Context, signal.Sender) error

func stack(name, id string, r signal.Result) act {
	return func(ctx context.Context, s signal.Sender) error {
		return s.Stack(ctx, signal.StackResource{Stack: name, LogicalID: "Web", UniqueID: id}, r)
	}
}

func complete(r signal.Result) act {
	return func(ctx context.Context, s signal.Sender) error {
		return s.Complete(ctx, signal.Hook{Group: "web & more", Name: "ready"}, r)
	}
}

func heartbeat(ctx context.Context, s signal.Sender) error {
	return s.Heartbeat(ctx, signal.Hook{Group: "web", Name: "ready"})
}

func TestWhatIsSentIsSignedAndComplete(t *testing.T) {
	noEndpoints(t)
	const arn = "arn:aws:cloudformation:eu-west-1:123456789012:stack/web/6f1c"
	tests := map[string]struct {
		act  act
		want map[string]string
	}{
		"a stack's success": {stack("web", "i-1", signal.Success), map[string]string{
			"Action": "SignalResource", "Version": "2010-05-15", "StackName": "web", "LogicalResourceId": "Web", "UniqueId": "i-1", "Status": "SUCCESS",
		}},
		"a stack's failure": {stack(arn, "a b=&+ü~", signal.Failure), map[string]string{
			"Action": "SignalResource", "Version": "2010-05-15", "StackName": arn, "LogicalResourceId": "Web", "UniqueId": "a b=&+ü~", "Status": "FAILURE",
		}},
		"an instance that is ready": {complete(signal.Success), map[string]string{
			"Action": "CompleteLifecycleAction", "Version": "2011-01-01", "AutoScalingGroupName": "web & more", "LifecycleHookName": "ready", "InstanceId": "i-1", "LifecycleActionResult": "CONTINUE",
		}},
		"an instance that is not": {complete(signal.Failure), map[string]string{
			"Action": "CompleteLifecycleAction", "Version": "2011-01-01", "AutoScalingGroupName": "web & more", "LifecycleHookName": "ready", "InstanceId": "i-1", "LifecycleActionResult": "ABANDON",
		}},
		"a heartbeat": {heartbeat, map[string]string{
			"Action": "RecordLifecycleActionHeartbeat", "Version": "2011-01-01", "AutoScalingGroupName": "web", "LifecycleHookName": "ready", "InstanceId": "i-1",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cloud := &awstest.Cloud{Keys: keys(), Region: region}
			if err := tt.act(t.Context(), newSender(t, cloud)); err != nil {
				t.Fatal(err)
			}
			want := url.Values{}
			for field := range maps.Keys(tt.want) {
				want.Set(field, tt.want[field])
			}
			if diff := cmp.Diff([]url.Values{want}, cloud.Calls()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTroubleIsWaitedOutOrNamed(t *testing.T) {
	noEndpoints(t)
	refusal := func(status int, code, message string, times int) []awstest.Refusal {
		return []awstest.Refusal{{Status: status, Code: code, Message: message, Times: times}}
	}
	const (
		ended    = "Stack arn:aws:cloudformation:eu-west-1:123456789012:stack/web/6f1c is in CREATE_COMPLETE state and cannot be signaled"
		existing = "Signal with ID i-1 for resource Web already exists. Signals may only be updated with a FAILURE status."
		inactive = "No active Lifecycle Action found with instance ID i-1"
	)
	tests := map[string]struct {
		act      act
		refusals []awstest.Refusal
		calls    []int // the fewest and the most
		within   time.Duration
		nobody   bool
		want     []string // of the error; none: success
	}{
		"throttling is waited out":          {act: stack("web", "i-1", signal.Success), refusals: refusal(400, "Throttling", "Rate exceeded", 5), calls: []int{6, 6}, within: time.Minute},
		"throttling of the group's as well": {act: complete(signal.Success), refusals: refusal(400, "Throttling", "Rate exceeded", 5), calls: []int{6, 6}, within: time.Minute},
		"contention is waited out":          {act: heartbeat, refusals: refusal(500, "ResourceContention", "", 3), calls: []int{4, 4}, within: time.Minute},
		"a role that comes late":            {act: heartbeat, refusals: refusal(403, "AccessDenied", "", 3), calls: []int{4, 4}, within: 30 * time.Second},
		"throttling for ever ends with the context": {
			act: stack("web", "i-1", signal.Success), refusals: refusal(400, "Throttling", "Rate exceeded", 0), calls: []int{10, 1000},
			within: 5 * time.Minute, want: []string{"deadline", "Throttling (Rate exceeded)"},
		},
		"denied names action and stack": {
			act: stack("web", "i-1", signal.Success), refusals: refusal(403, "AccessDenied", "User is not authorized", 0), calls: []int{2, 1000}, within: time.Minute,
			want: []string{"AccessDenied", "allow cloudformation:SignalResource on arn:aws:cloudformation:eu-west-1:123456789012:stack/web/* to the instance's role"},
		},
		"denied names the stack's own ARN": {
			act: stack("arn:aws:x", "i-1", signal.Success), refusals: refusal(403, "AccessDenied", "", 0), calls: []int{2, 1000}, within: time.Minute,
			want: []string{"allow cloudformation:SignalResource on arn:aws:x to"},
		},
		"denied names action and group": {
			act: complete(signal.Failure), refusals: refusal(403, "AccessDenied", "", 0), calls: []int{2, 1000}, within: time.Minute,
			want: []string{"allow autoscaling:CompleteLifecycleAction on arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/web & more to"},
		},
		"denied names the heartbeat": {
			act: heartbeat, refusals: refusal(403, "AccessDenied", "", 0), calls: []int{2, 1000}, within: time.Minute,
			want: []string{"allow autoscaling:RecordLifecycleActionHeartbeat on arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/web to"},
		},
		"a wrong key says what to check": {
			act: heartbeat, refusals: refusal(403, "InvalidClientTokenId", "", 0), calls: []int{2, 1000}, within: time.Minute, want: []string{"check the role"},
		},
		"a stack that is not there is final at once": {
			act: stack("web", "i-1", signal.Success), refusals: refusal(400, "ValidationError", "Stack web does not exist", 0), calls: []int{1, 1}, within: time.Second,
			want: []string{"ValidationError (Stack web does not exist)", "check that stack web is in this instance's region and has a resource Web"},
		},
		"a hook that is not there is final at once": {
			act: heartbeat, refusals: refusal(400, "ValidationError", "AutoScalingGroup name not found", 0), calls: []int{1, 1}, within: time.Second,
			want: []string{"check that group web is in this instance's region and has a lifecycle hook ready"},
		},
		"a stack that has ended does not wait":        {act: stack("web", "i-1", signal.Success), refusals: refusal(400, "ValidationError", ended, 0), calls: []int{1, 1}, within: time.Second, nobody: true, want: []string{"nobody waits", ended}},
		"a stack that had the signal does not wait":   {act: stack("web", "i-1", signal.Success), refusals: refusal(400, "ValidationError", existing, 0), calls: []int{1, 1}, within: time.Second, nobody: true, want: []string{existing}},
		"a heartbeat for no action is not repeated":   {act: heartbeat, refusals: refusal(400, "ValidationError", inactive, 0), calls: []int{1, 1}, within: time.Second, nobody: true, want: []string{inactive}},
		"an action that comes late is completed":      {act: complete(signal.Success), refusals: refusal(400, "ValidationError", inactive, 3), calls: []int{4, 4}, within: 30 * time.Second},
		"an action that never comes is given up":      {act: complete(signal.Success), refusals: refusal(400, "ValidationError", inactive, 0), calls: []int{3, 1000}, within: time.Minute, nobody: true, want: []string{inactive}},
		"other codes with such words are no such end": {act: stack("web", "i-1", signal.Success), refusals: refusal(400, "MalformedInput", ended, 0), calls: []int{2, 1000}, within: time.Minute, want: []string{"MalformedInput"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				cloud := &awstest.Cloud{Keys: keys(), Region: region, Refusals: tt.refusals}
				began := time.Now()
				err := tt.act(ctx, newSender(t, cloud))
				if took := time.Since(began); took > tt.within {
					t.Errorf("it took %s", took)
				}
				if n := len(cloud.Calls()); n < tt.calls[0] || n > tt.calls[1] {
					t.Errorf("%d calls", n)
				}
				if errors.Is(err, signal.ErrNobodyWaits) != tt.nobody || (err == nil) != (tt.want == nil) {
					t.Fatalf("got %v", err)
				}
				for _, want := range tt.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q is not in %q", want, err)
					}
				}
				for _, hidden := range []string{keys().Secret, keys().Token} {
					if err != nil && strings.Contains(err.Error(), hidden) {
						t.Errorf("it leaks: %v", err)
					}
				}
			})
		})
	}
}

// The cancelled wait for a late action still says why there was one.
func TestACancelledWaitSaysWhatItWaitedFor(t *testing.T) {
	noEndpoints(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		cloud := &awstest.Cloud{Keys: keys(), Region: region, Refusals: []awstest.Refusal{{Status: 400, Code: "ValidationError", Message: "No active Lifecycle Action found"}}}
		began := time.Now()
		err := complete(signal.Success)(ctx, newSender(t, cloud))
		if !errors.Is(err, signal.ErrNobodyWaits) || time.Since(began) > 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestThePolicyNamesAnyAccountWhereNoneIsKnown(t *testing.T) {
	var got []string
	s := signal.Sender{AWS: poster(func(call aws.Call) { got = append(got, call.Resource) }), Instance: instance.Identity{InstanceID: "i-1", Region: "cn-north-1"}}
	for _, act := range []act{stack("web", "i-1", signal.Success), heartbeat} {
		if err := act(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"arn:aws-cn:cloudformation:cn-north-1:*:stack/web/*", "arn:aws-cn:autoscaling:cn-north-1:*:autoScalingGroup:*:autoScalingGroupName/web"}
	if !slices.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

type poster func(aws.Call)

func (p poster) Post(_ context.Context, call aws.Call, _ string, _ url.Values) error {
	p(call)
	return nil
}

func TestTheResultOfARun(t *testing.T) {
	for text, want := range map[string]signal.Result{"succeeded": signal.Success, "failed": signal.Failure, "": "", "success": "", "FAILED": ""} {
		if got := signal.FromRun(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}
