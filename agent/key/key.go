// Package key turns a document's key or key_from into the secret that opens the
// bundle.
package key

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"startup-bundle/agent/aws"
	"startup-bundle/internal/files"
	"startup-bundle/internal/secret"
)

const (
	maxKey        = 64 << 10 // bytes of a key, wherever it is kept
	maxCiphertext = 6144     // bytes that KMS decrypts at most
)

// Source says where the key is. At most one of the two is set.
type Source struct {
	Literal secret.String
	// From is file:/path, ssm:NAME-OR-ARN, secretsmanager:NAME-OR-ARN or
	// kms:BASE64-CIPHERTEXT.
	From string
}

// Caller is what of aws.Client is needed.
type Caller interface {
	Do(ctx context.Context, call aws.Call, in, out any) error
}

// Deps are what Resolve works with.
type Deps struct {
	Logger *zap.Logger
	AWS    Caller // may be nil where there is none
}

// Errors for callers that branch, or that have their own words for them.
var (
	ErrBoth    = errors.New("key and key_from are both given; keep one")
	ErrUnknown = errors.New("key_from is not one of file:/path ssm:name secretsmanager:name kms:ciphertext")
	errNoAWS   = errors.New("there is no instance role here to ask AWS with; use key, or key_from with a file")
)

// Resolve returns the key that s names. If that is kept elsewhere, it may be
// written as a key file may be: see [secret.ParseFile]. Where s names none it
// returns no secret and no error. Throttling and outages are waited
// out until ctx's deadline. No error holds the key, nor the ciphertext.
func Resolve(ctx context.Context, s Source, d Deps) (secret.String, error) {
	switch {
	case s.Literal.IsSet() && s.From != "":
		return secret.String{}, ErrBoth
	case s.From == "":
		return s.Literal, nil
	}
	text, err := from(ctx, s.From, d)
	if err != nil {
		return secret.String{}, fmt.Errorf("get the key: %w", err)
	}
	found, err := secret.ParseFile([]byte(text))
	if err != nil {
		return secret.String{}, fmt.Errorf("get the key: what key_from names cannot be used: %w", err)
	}
	if strings.Contains(text, "\r") {
		d.Logger.Info("the key's line ends with a carriage return, which is left off",
			zap.String("hint", "openssl enc -pass file: takes it as part of the passphrase: "+
				"if the bundle was made so, make it again with a key file that has none"))
	}
	return found, nil
}

// Doubt says what may be wrong with a key that opens nothing, though it was found;
// mostly nothing. It shows nothing of the key.
func Doubt(found secret.String) string {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(found.Reveal()), &object) != nil || object == nil {
		return ""
	}
	return "the key is a JSON object, as the console of Secrets Manager makes, and the whole text was taken as the key: " +
		"store the key alone, as plain text"
}

// from returns what is kept where ref says.
func from(ctx context.Context, ref string, d Deps) (string, error) {
	kind, name, _ := strings.Cut(ref, ":")
	if kind == "file" {
		return file(name, d.Logger)
	}
	ask := map[string]func(context.Context, string, Caller) (string, error){
		"ssm": parameter, "secretsmanager": stored, "kms": decrypted,
	}[kind]
	switch {
	case ask == nil || name == "":
		return "", ErrUnknown
	case d.AWS == nil:
		return "", errNoAWS
	}
	return ask(ctx, name, d.AWS)
}

// file reads a key that was baked into the image.
func file(path string, log *zap.Logger) (string, error) {
	path = strings.TrimPrefix(path, "//")
	if !filepath.IsAbs(path) {
		return "", errors.New("key_from: file: needs an absolute path: file:/path")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("read key file: %w; check that the image has it", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("read key file: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxKey:
		return "", fmt.Errorf("read key file %s: it is not a file of at most %d bytes", path, maxKey)
	case info.Mode().Perm()&0o077 != 0:
		log.Warn("key file is open to others, chmod 0600", zap.String("path", path), zap.Stringer("mode", info.Mode().Perm()))
	}
	if err := (files.Trust{Root: "/"}).Check(path); err != nil {
		return "", fmt.Errorf("read key file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return "", fmt.Errorf("read key file: %w", err)
	}
	return string(text), nil
}

// parameter reads a parameter of Systems Manager.
func parameter(ctx context.Context, name string, c Caller) (string, error) {
	region, resource := locate(name, "arn::ssm:*:*:parameter/"+strings.TrimPrefix(name, "/"))
	var out struct{ Parameter struct{ Value string } }
	err := c.Do(ctx, aws.Call{
		Service: "ssm", Target: "AmazonSSM.GetParameter", Region: region, Action: "ssm:GetParameter", Resource: resource,
		Hint: "check that parameter " + name + " exists in the instance's region",
	}, map[string]any{"Name": name, "WithDecryption": true}, &out)
	return out.Parameter.Value, err
}

// stored reads a secret of Secrets Manager.
func stored(ctx context.Context, name string, c Caller) (string, error) {
	region, resource := locate(name, "arn::secretsmanager:*:*:secret:"+name+"-*")
	var out struct {
		SecretString string
		SecretBinary []byte
	}
	err := c.Do(ctx, aws.Call{
		Service: "secretsmanager", Target: "secretsmanager.GetSecretValue", Region: region,
		Action: "secretsmanager:GetSecretValue", Resource: resource,
		Hint: "check that secret " + name + " exists in the instance's region and is not marked for deletion",
	}, map[string]any{"SecretId": name}, &out)
	if out.SecretString == "" {
		return string(out.SecretBinary), err
	}
	return out.SecretString, err
}

// decrypted has KMS decrypt what stands in the userdata.
func decrypted(ctx context.Context, ciphertext string, c Caller) (string, error) {
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(ciphertext), ""))
	if err != nil || len(blob) == 0 || len(blob) > maxCiphertext {
		return "", fmt.Errorf("key_from: kms: needs the ciphertext as base64, of 1 to %d bytes", maxCiphertext)
	}
	var out struct{ Plaintext []byte }
	err = c.Do(ctx, aws.Call{
		Service: "kms", Target: "TrentService.Decrypt", Action: "kms:Decrypt",
		Resource: "the key that the ciphertext was made with",
		Hint:     "check that the ciphertext is whole and was made with a key of the instance's region",
	}, map[string]any{"CiphertextBlob": blob}, &out)
	return string(out.Plaintext), err
}

// locate returns the region and the resource of name: its own where it is an ARN,
// else the instance's (empty) and what a policy would name.
func locate(name, otherwise string) (region, resource string) {
	parts := strings.SplitN(name, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" {
		return parts[3], name
	}
	return "", otherwise
}
