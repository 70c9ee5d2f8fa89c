package daemon

import (
	"net"
	"os"
	"testing"
)

// The one user whose signature [AWS]'s S3 accepts.
const (
	AccessKey = "AKIDTEST"
	SecretKey = "of-this-test"
)

// AWS starts versitygw as S3, which checks signatures, and moto as the rest of AWS,
// until the test ends. It returns the environment in which programs of AWS's SDKs find
// both, and nothing else. It skips the test if versitygw, moto or the AWS command line
// is missing.
func AWS(t testing.TB) (env []string) {
	t.Helper()
	gateway := Find(t, "versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	moto := Find(t, "moto_server", "pip install 'moto[server]'")
	Find(t, "aws", "pip install awscli")
	s3, rest := Address(t), Address(t)
	Start(t, s3, gateway, "--access", AccessKey, "--secret", SecretKey, "--region", "eu-central-1",
		"--port", s3, "--iam-dir", t.TempDir(), "posix", t.TempDir())
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		t.Fatal(err)
	}
	Start(t, rest, moto, "-H", host, "-p", port)
	env = []string{
		"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey,
		"AWS_DEFAULT_REGION=eu-central-1", "AWS_REGION=eu-central-1", "AWS_PAGER=",
		"AWS_ENDPOINT_URL=http://" + rest, "AWS_ENDPOINT_URL_S3=http://" + s3,
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9",
	}
	for _, name := range []string{"PYENV_ROOT", "PYENV_VERSION"} { // where pyenv's moto and aws look
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
