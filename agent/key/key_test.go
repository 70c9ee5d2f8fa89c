package key_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"startup-bundle/agent/aws"
	"startup-bundle/agent/key"
	"startup-bundle/internal/secret"
)

const hidden = "stirringdullroots"

// service answers every call with answer, or with err.
type service struct {
	answer string
	err    error
	call   aws.Call
	in     string
}

func (s *service) Do(_ context.Context, call aws.Call, in, out any) error {
	sent, err := json.Marshal(in)
	if err != nil {
		return err
	}
	s.call, s.in = call, string(sent)
	if s.err != nil {
		return s.err
	}
	return json.Unmarshal([]byte(s.answer), out)
}

func TestAKeyIsFoundWhereItIsKept(t *testing.T) {
	blob := base64.StdEncoding.EncodeToString([]byte("ciphertext"))
	plain := base64.StdEncoding.EncodeToString([]byte(hidden))
	const arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:web-AbCdEf"
	tests := map[string]struct {
		from, answer, in                  string
		service, target, region, resource string
	}{
		"a parameter": {
			"ssm:/web/key", `{"Parameter":{"Value":"` + hidden + `"}}`, `{"Name":"/web/key","WithDecryption":true}`,
			"ssm", "AmazonSSM.GetParameter", "", "arn::ssm:*:*:parameter/web/key",
		},
		"a parameter elsewhere": {
			"ssm:arn:aws-cn:ssm:cn-north-1:1:parameter/web", `{"Parameter":{"Value":"` + hidden + `\n"}}`,
			`{"Name":"arn:aws-cn:ssm:cn-north-1:1:parameter/web","WithDecryption":true}`,
			"ssm", "AmazonSSM.GetParameter", "cn-north-1", "arn:aws-cn:ssm:cn-north-1:1:parameter/web",
		},
		"a secret": {
			"secretsmanager:web", `{"SecretString":"` + hidden + `"}`, `{"SecretId":"web"}`,
			"secretsmanager", "secretsmanager.GetSecretValue", "", "arn::secretsmanager:*:*:secret:web-*",
		},
		"a secret by ARN, of bytes": {
			"secretsmanager:" + arn, `{"SecretBinary":"` + plain + `"}`, `{"SecretId":"` + arn + `"}`,
			"secretsmanager", "secretsmanager.GetSecretValue", "eu-north-1", arn,
		},
		"a ciphertext": {
			"kms:" + blob[:4] + "\n  " + blob[4:], `{"Plaintext":"` + plain + `"}`, `{"CiphertextBlob":"` + blob + `"}`,
			"kms", "TrentService.Decrypt", "", "the key that the ciphertext was made with",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &service{answer: test.answer}
			got, err := key.Resolve(t.Context(), key.Source{From: test.from}, key.Deps{Logger: zap.NewNop(), AWS: s})
			if err != nil || got.Reveal() != hidden {
				t.Fatalf("got %q, %v", got.Reveal(), err)
			}
			want := aws.Call{Service: test.service, Target: test.target, Region: test.region, Resource: test.resource}
			s.call.Action, s.call.Hint = "", ""
			if diff := cmp.Diff(want, s.call); diff != "" {
				t.Error(diff)
			}
			if s.in != test.in {
				t.Errorf("sent %s, want %s", s.in, test.in)
			}
		})
	}
}

// A key file may be put as it is wherever key_from looks, with the comments that the
// packer and age-keygen write into it.
func TestAKeyFileIsAKeyWhereverItIsKept(t *testing.T) {
	const identity = "AGE-SECRET-KEY-1QQPQYZ"
	file := "# created: 2026-11-27\n" + identity + "\n# public key: age1x\n"
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(file))
	for from, answer := range map[string]string{
		"file:" + path:       "",
		"ssm:/web":           `{"Parameter":{"Value":` + string(quoted) + `}}`,
		"secretsmanager:web": `{"SecretString":` + string(quoted) + `}`,
		"kms:AAAA":           `{"Plaintext":"` + encoded + `"}`,
	} {
		got, err := key.Resolve(t.Context(), key.Source{From: from}, key.Deps{Logger: zap.NewNop(), AWS: &service{answer: answer}})
		if err != nil || got.Reveal() != identity {
			t.Errorf("%s: %q, %v", from, got.Reveal(), err)
		}
	}
}

func TestALiteralKeyIsTheKey(t *testing.T) {
	got, err := key.Resolve(t.Context(), key.Source{Literal: secret.New(hidden)}, key.Deps{Logger: zap.NewNop()})
	if err != nil || got.Reveal() != hidden {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
	got, err = key.Resolve(t.Context(), key.Source{}, key.Deps{Logger: zap.NewNop()})
	if err != nil || got.IsSet() {
		t.Errorf("no key: got %v, %v", got, err)
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	denied := &aws.Error{Service: "ssm", Status: 400, Code: "AccessDeniedException", Hint: "allow ssm:GetParameter on arn:x"}
	tests := map[string]struct {
		source key.Source
		aws    key.Caller
		want   string
	}{
		"two of them":          {key.Source{Literal: secret.New(hidden), From: "ssm:/web"}, &service{}, "both"},
		"an unknown form":      {key.Source{From: hidden}, &service{}, "file:/path"},
		"another unknown form": {key.Source{From: "vault:" + hidden}, &service{}, "file:/path"},
		"no name":              {key.Source{From: "ssm:"}, &service{}, "file:/path"},
		"nobody to ask":        {key.Source{From: "ssm:/web"}, nil, "instance role"},
		"no base64":            {key.Source{From: "kms:" + hidden + "!"}, &service{}, "base64"},
		"no ciphertext":        {key.Source{From: "kms: "}, &service{}, "base64"},
		"much ciphertext":      {key.Source{From: "kms:" + strings.Repeat("AAAA", 3000)}, &service{}, "6144"},
		"an empty value":       {key.Source{From: "ssm:/web"}, &service{answer: `{"Parameter":{"Value":"\n"}}`}, "empty"},
		"an empty answer":      {key.Source{From: "ssm:/web"}, &service{answer: `{}`}, "empty"},
		"two lines":            {key.Source{From: "ssm:/web"}, &service{answer: `{"Parameter":{"Value":"` + hidden + `\nb"}}`}, "more than one line"},
		"binary":               {key.Source{From: "ssm:/web"}, &service{answer: `{"Parameter":{"Value":"` + hidden + `\u0000b"}}`}, "not plain text"},
		"denied":               {key.Source{From: "ssm:/web"}, &service{err: denied}, "allow ssm:GetParameter on arn:x"},
		"a relative file":      {key.Source{From: "file:key"}, &service{}, "absolute"},
		"no file":              {key.Source{From: "file:/does/not/exist"}, &service{}, "check that the image has it"},
		"a folder":             {key.Source{From: "file:/tmp"}, &service{}, "not a file"},
		"a device":             {key.Source{From: "file:/dev/zero"}, &service{}, "not a file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := key.Resolve(t.Context(), test.source, key.Deps{Logger: zap.NewNop(), AWS: test.aws})
			if err == nil || got.IsSet() || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %q, %v", got.Reveal(), err)
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("it leaks: %v", err)
			}
		})
	}
}

func TestAnErrorOfAWSCanBeLookedInto(t *testing.T) {
	s := &service{err: &aws.Error{Code: "ParameterNotFound"}}
	_, err := key.Resolve(t.Context(), key.Source{From: "ssm:/web"}, key.Deps{Logger: zap.NewNop(), AWS: s})
	var e *aws.Error
	if !errors.As(err, &e) || e.Code != "ParameterNotFound" {
		t.Errorf("got %v", err)
	}
}

func TestAKeyFile(t *testing.T) {
	tests := map[string]struct {
		content string
		mode    os.FileMode
		want    string
		warns   bool
	}{
		"for root only":      {hidden + "\n", 0o600, hidden, false},
		"without a newline":  {hidden, 0o400, hidden, false},
		"made on Windows":    {hidden + "\r\n", 0o600, hidden, true},
		"open to a group":    {hidden + "\n", 0o640, hidden, true},
		"open to all":        {hidden + "\n", 0o644, hidden, true},
		"with spaces around": {" a b \n", 0o600, " a b ", false},
		"with a comment":     {"# made today\n" + hidden + "\n", 0o600, "", false},
		"empty":              {"", 0o600, "", false},
		"too large":          {strings.Repeat("a", 64<<10+1), 0o600, "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(test.content), test.mode); err != nil {
				t.Fatal(err)
			}
			core, logs := observer.New(zap.DebugLevel)
			got, err := key.Resolve(t.Context(), key.Source{From: "file:" + path}, key.Deps{Logger: zap.New(core)})
			if got.Reveal() != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v", got.Reveal(), err)
			}
			if (logs.Len() > 0) != test.warns {
				t.Errorf("logged %v", logs.All())
			}
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("it leaks: %v", err)
			}
		})
	}
}
