package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"startup-bundle/agent"
	"startup-bundle/agent/aws"
	"startup-bundle/agent/instance"
	"startup-bundle/agent/signal"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/cmdline"
)

// The instance's tags that name what waits for it. AWS sets the first three.
const (
	tagStack    = "aws:cloudformation:stack-name"
	tagResource = "aws:cloudformation:logical-id"
	tagGroup    = "aws:autoscaling:groupName"
	tagHook     = "startup-agent:lifecycle-hook"
)

const signalTimeout = 2 * time.Minute

// signaller is one call of a signal command.
type signaller struct {
	*program
	result  string
	caFile  string
	timeout time.Duration

	metadata *instance.Client
	signal.Sender
}

func (p *program) signalCommand() *cobra.Command {
	s := &signaller{program: p}
	c := &cobra.Command{
		Use:   "signal",
		Short: "Tell CloudFormation or Auto Scaling how the run ended; made for hooks",
		Long: `Signal tells what waits for this instance how its run ended, signed with the
instance's role. In a hook the result is that of the run.

Exit codes: 0 told, or nobody waits for it (a warning says so); 2 usage, or a name
that neither a flag nor a tag of the instance gives; 1 anything else.`,
		RunE: func(c *cobra.Command, _ []string) error { return cmdline.Misuse(c, "say what to signal: cfn or asg") },
	}
	f := c.PersistentFlags()
	f.StringVar(&s.result, "result", "auto", "success, failure, or auto: what the RESULT of a hook says")
	f.DurationVar(&s.timeout, "timeout", signalTimeout, "give up on instance metadata, and then on AWS, after this long")
	f.StringVar(&s.caFile, "ca-file", os.Getenv("STARTUP_AGENT_CA_FILE"), "trust the certificates in this PEM `FILE` too (also STARTUP_AGENT_CA_FILE)")
	cmdline.OneOf(c, "result", "auto", string(signal.Success), string(signal.Failure))
	c.AddCommand(s.cfnCommand(), s.asgCommand())
	return c
}

func (s *signaller) cfnCommand() *cobra.Command {
	var at signal.StackResource
	c := &cobra.Command{
		Use:   "cfn",
		Short: "Signal a CloudFormation resource that has a CreationPolicy or an UpdatePolicy",
		RunE: func(c *cobra.Command, _ []string) error {
			result, err := s.outcome()
			if err != nil {
				return cmdline.Misuse(c, "%v", err)
			}
			return s.send(c, func(ctx context.Context) error {
				if at.UniqueID == "" {
					at.UniqueID = s.Instance.InstanceID
				}
				return s.Stack(ctx, at, result)
			}, func() string { return fmt.Sprintf("%s for %s of stack %s", result, at.LogicalID, at.Stack) },
				named{"stack", tagStack, &at.Stack}, named{"resource", tagResource, &at.LogicalID})
		},
	}
	c.Flags().StringVar(&at.Stack, "stack", "", "name or ARN of the stack (default: the instance's tag "+tagStack+")")
	c.Flags().StringVar(&at.LogicalID, "resource", "", "logical id of the resource (default: the instance's tag "+tagResource+")")
	c.Flags().StringVar(&at.UniqueID, "unique-id", "", "id of the signal (default: the instance's id)")
	return c
}

func (s *signaller) asgCommand() *cobra.Command {
	var hook signal.Hook
	var heartbeat bool
	c := &cobra.Command{
		Use:   "asg",
		Short: "Complete the instance's lifecycle action of an Auto Scaling group, or give it more time",
		RunE: func(c *cobra.Command, _ []string) error {
			told := "heartbeat"
			send := func(ctx context.Context) error { return s.Heartbeat(ctx, hook) }
			if !heartbeat {
				result, err := s.outcome()
				if err != nil {
					return cmdline.Misuse(c, "%v", err)
				}
				told = string(result)
				send = func(ctx context.Context) error { return s.Complete(ctx, hook, result) }
			} else if c.Flags().Changed("result") {
				return cmdline.Misuse(c, "--heartbeat has no --result: leave one of them out")
			}
			return s.send(c, send, func() string { return fmt.Sprintf("%s for hook %s of group %s", told, hook.Name, hook.Group) },
				named{"group", tagGroup, &hook.Group}, named{"hook", tagHook, &hook.Name})
		},
	}
	c.Flags().StringVar(&hook.Group, "group", "", "name of the group (default: the instance's tag "+tagGroup+")")
	c.Flags().StringVar(&hook.Name, "hook", "", "name of the lifecycle hook (default: the instance's tag "+tagHook+")")
	c.Flags().BoolVar(&heartbeat, "heartbeat", false, "do not complete the action: start its time-out anew")
	return c
}

// outcome returns what --result says.
func (s *signaller) outcome() (signal.Result, error) {
	switch result := signal.Result(s.result); result {
	case signal.Success, signal.Failure:
		return result, nil
	case "auto":
		if result := signal.FromRun(os.Getenv("RESULT")); result != "" {
			return result, nil
		}
		return "", errors.New("RESULT is neither succeeded nor failed, as it is in a hook: give --result success or failure")
	}
	return "", fmt.Errorf("--result is %q", s.result) // refused before
}

// named is what a flag gives, or else a tag.
type named struct {
	flag, tag string
	value     *string
}

// send finds out who this is and the names that are missing, and sends; told says
// what.
func (s *signaller) send(c *cobra.Command, send func(context.Context) error, told func() string, names ...named) error {
	ctx := c.Context()
	transport, err := transport.New(s.caFile)
	if err != nil {
		return cmdline.Misuse(c, "%v", err)
	}
	log := zap.NewNop() // the last trouble is in the error
	s.metadata = instance.New(instance.Config{Logger: log, Deadline: s.timeout})
	defer s.metadata.Close()
	if s.Instance, err = s.metadata.Identity(ctx); err != nil {
		return s.failed(agent.CodeOther, err)
	}
	for _, n := range names {
		if err := s.lookUp(c, n); err != nil {
			return err
		}
	}
	s.AWS = aws.New(aws.Config{Logger: log, Transport: transport, Credentials: s.metadata.Credentials(), Region: s.metadata.Region})
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	switch err := send(ctx); {
	case errors.Is(err, signal.ErrNobodyWaits):
		fmt.Fprintf(s.stderr, "startup-agent: warning: %v\n", err)
	case err != nil:
		return s.failed(agent.CodeOther, err)
	default:
		fmt.Fprintf(s.stdout, "signalled %s\n", told())
	}
	return nil
}

// lookUp fills n from the instance's tag where its flag was not given.
func (s *signaller) lookUp(c *cobra.Command, n named) error {
	if *n.value != "" {
		return nil
	}
	value, err := s.metadata.Tag(c.Context(), n.tag)
	switch {
	case errors.Is(err, instance.ErrNoTags):
		return cmdline.Misuse(c, "--%s is not given: %v", n.flag, err)
	case err != nil:
		return s.failed(agent.CodeOther, err)
	case value == "":
		return cmdline.Misuse(c, "--%s is not given, and the instance has no tag %s to take it from: give it", n.flag, n.tag)
	}
	*n.value = value
	return nil
}
