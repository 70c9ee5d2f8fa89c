// Package signal tells CloudFormation and Auto Scaling how a run ended.
package signal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/instance"
	"startup-bundle/agent/transport"
)

// Versions of the services' APIs, of their public models.
const (
	versionCloudFormation = "2010-05-15"
	versionAutoScaling    = "2011-01-01"
)

// Result is how a run ended.
type Result string

// The two ends.
const (
	Success Result = "success"
	Failure Result = "failure"
)

// FromRun returns the result that a hook finds in RESULT: succeeded or failed. It
// is empty for anything else.
func FromRun(text string) Result {
	return map[string]Result{"succeeded": Success, "failed": Failure}[text]
}

// ErrNobodyWaits says that a signal came to nothing: the stack or the group does
// not wait, or no longer. For an instance that is started again, or that replaces
// another, this is usual.
var ErrNobodyWaits = errors.New("nobody waits for this signal")

// Poster is what of aws.Client is needed.
type Poster interface {
	Post(ctx context.Context, call aws.Call, version string, form url.Values) error
}

// Sender signals for one instance.
type Sender struct {
	AWS      Poster
	Instance instance.Identity // ID and region; without an account an error names any
}

// StackResource is what a stack's creation or update waits for.
type StackResource struct {
	Stack     string // name or ARN
	LogicalID string // in the template
	UniqueID  string // of the signal, 1 to 64 characters; of an instance its id
}

// Stack tells CloudFormation the result of at. The error is ErrNobodyWaits, with
// the service's own words, where the stack has ended, or had this signal before.
func (s Sender) Stack(ctx context.Context, at StackResource, result Result) error {
	resource := at.Stack
	if !strings.HasPrefix(resource, "arn:") {
		resource = s.arn("cloudformation", "stack/"+at.Stack+"/*")
	}
	return given(s.AWS.Post(ctx, aws.Call{
		Service: "cloudformation", Target: "SignalResource",
		Action: "cloudformation:SignalResource", Resource: resource,
		Hint: fmt.Sprintf("check that stack %s is in this instance's region and has a resource %s", at.Stack, at.LogicalID),
	}, versionCloudFormation, url.Values{
		"StackName": {at.Stack}, "LogicalResourceId": {at.LogicalID}, "UniqueId": {at.UniqueID},
		"Status": {map[Result]string{Success: "SUCCESS", Failure: "FAILURE"}[result]},
	}))
}

// Hook is a lifecycle hook of an Auto Scaling group.
type Hook struct{ Group, Name string }

// Complete ends the instance's lifecycle action at hook: it goes into service, or
// on a failure is given up and replaced. An action that is not there is asked for
// again for transport.Patience, because an instance can be ready before its group
// waits for it; then the error is ErrNobodyWaits.
func (s Sender) Complete(ctx context.Context, hook Hook, result Result) error {
	form := url.Values{"LifecycleActionResult": {map[Result]string{Success: "CONTINUE", Failure: "ABANDON"}[result]}}
	began := time.Now()
	var nobody error
	for attempt := 0; ; attempt++ {
		err := s.lifecycle(ctx, "CompleteLifecycleAction", hook, form)
		switch {
		case ctx.Err() != nil && nobody != nil:
			return nobody // how a try ends that is cut off tells nothing
		case !errors.Is(err, ErrNobodyWaits) || time.Since(began) >= transport.Patience:
			return err
		}
		nobody = err
		_ = transport.Sleep(ctx, transport.Wait(attempt)) // the next try sees that ctx has ended
	}
}

// Heartbeat gives the instance's lifecycle action at hook its time anew, from now
// on. The error is ErrNobodyWaits where there is no such action.
func (s Sender) Heartbeat(ctx context.Context, hook Hook) error {
	return s.lifecycle(ctx, "RecordLifecycleActionHeartbeat", hook, url.Values{})
}

func (s Sender) lifecycle(ctx context.Context, action string, hook Hook, form url.Values) error {
	form.Set("AutoScalingGroupName", hook.Group)
	form.Set("LifecycleHookName", hook.Name)
	form.Set("InstanceId", s.Instance.InstanceID)
	return given(s.AWS.Post(ctx, aws.Call{
		Service: "autoscaling", Target: action, Action: "autoscaling:" + action,
		Resource: s.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/"+hook.Group),
		Hint:     fmt.Sprintf("check that group %s is in this instance's region and has a lifecycle hook %s", hook.Group, hook.Name),
	}, versionAutoScaling, form))
}

func (s Sender) arn(service, rest string) string {
	account := s.Instance.Account
	if account == "" {
		account = "*"
	}
	return strings.Join([]string{"arn", aws.Partition(s.Instance.Region), service, s.Instance.Region, account, rest}, ":")
}

// unawaited are the words with which the services say that nobody waits. They have
// no code of their own for it: it is a ValidationError, as a wrong name is.
//   - Stack arn:… is in CREATE_COMPLETE state and cannot be signaled (the resource alike)
//   - Signal with ID i-… for resource … already exists. Signals may only be updated with a FAILURE status.
//   - No active Lifecycle Action found with instance ID i-…
const unawaited = `is in [A-Z_]+ state|^Signal with ID .* for resource |^No active Lifecycle Action found`

// given returns err, as ErrNobodyWaits where that is what it says.
func given(err error) error {
	var refused *aws.Error
	if errors.As(err, &refused) && refused.Code == "ValidationError" && regexp.MustCompile(unawaited).MatchString(refused.Message) {
		return fmt.Errorf("%w: %s", ErrNobodyWaits, refused.Message)
	}
	return err
}
