//go:build integration

package key_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/key"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/daemon"
)

type role struct{}

func (role) Retrieve(context.Context) (sdk.Credentials, error) {
	return sdk.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "of-this-test", SessionToken: "token"}, nil
}

func TestKeysOfRealServices(t *testing.T) {
	program := daemon.Find(t, "moto_server", "pip install 'moto[server]'")
	address := daemon.Address(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Start(t, address, program, "-H", host, "-p", port)
	for _, name := range []string{"_SSM", "_SECRETS_MANAGER", "_KMS"} {
		t.Setenv("AWS_ENDPOINT_URL"+name, "")
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://"+address)
	rt, err := transport.New("")
	if err != nil {
		t.Fatal(err)
	}
	c := aws.New(aws.Config{
		Logger: zap.NewNop(), Transport: rt, Credentials: role{},
		Region: func(context.Context) (string, error) { return "eu-west-1", nil },
	})
	do := func(service, target string, in map[string]any, out any) {
		t.Helper()
		if err := c.Do(t.Context(), aws.Call{Service: service, Target: target, Action: target}, in, out); err != nil {
			t.Fatal(err)
		}
	}
	var (
		none   struct{}
		stored struct{ ARN string }
		made   struct{ KeyMetadata struct{ KeyID string } }
		sealed struct{ CiphertextBlob string }
	)
	do("ssm", "AmazonSSM.PutParameter", map[string]any{"Name": "/web/key", "Value": hidden, "Type": "SecureString"}, &none)
	do("secretsmanager", "secretsmanager.CreateSecret", map[string]any{"Name": "web", "SecretString": hidden, "ClientRequestToken": strings.Repeat("x", 32)}, &stored)
	do("kms", "TrentService.CreateKey", map[string]any{}, &made)
	do("kms", "TrentService.Encrypt", map[string]any{"KeyId": made.KeyMetadata.KeyID, "Plaintext": []byte(hidden)}, &sealed)
	for name, from := range map[string]string{
		"ssm": "ssm:/web/key", "secretsmanager": "secretsmanager:web",
		"secretsmanager by ARN": "secretsmanager:" + stored.ARN, "kms": "kms:" + sealed.CiphertextBlob,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := key.Resolve(t.Context(), key.Source{From: from}, key.Deps{Logger: zap.NewNop(), AWS: c})
			if err != nil || got.Reveal() != hidden {
				t.Errorf("got %q, %v", got.Reveal(), err)
			}
		})
	}
	for name, test := range map[string]struct{ from, want string }{
		"a missing parameter": {"ssm:/web/none", "ParameterNotFound"},
		"a missing secret":    {"secretsmanager:none", "ResourceNotFoundException"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := key.Resolve(ctx, key.Source{From: test.from}, key.Deps{Logger: zap.NewNop(), AWS: c})
			if err == nil || got.IsSet() || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "exists") {
				t.Errorf("got %v", err)
			}
		})
	}
}
