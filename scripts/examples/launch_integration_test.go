//go:build integration

package examples_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/internal/daemon"
	"startup-bundle/internal/imdstest"
)

// user is somebody at a terminal, in a folder of their own, for whom AWS is two
// servers on loopback: versitygw as S3, which checks signatures, and moto as EC2.
type user struct {
	t   *testing.T
	dir string
	env []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	env := daemon.AWS(t)
	u := &user{t: t, dir: t.TempDir()}
	bin := filepath.Join(u.dir, "bin")
	for _, program := range []string{"startup-agent", "startup-packer"} {
		build := exec.Command("go", "build", "-o", filepath.Join(bin, program), "startup-bundle/cmd/"+program)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	u.env = append(env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+u.dir, "LAUNCH_POLL=0")
	return u
}

// types runs a command line and returns what it prints.
func (u *user) types(line string, env ...string) string {
	u.t.Helper()
	c := exec.CommandContext(u.t.Context(), "bash", "-c", line)
	c.Dir, c.Env = u.dir, append(append([]string{}, u.env...), env...)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		u.t.Fatalf("%s: %v\n%s%s", line, err, out, said.String())
	}
	return strings.TrimSpace(string(out))
}

func TestPackPushLaunchStatus(t *testing.T) {
	u := newUser(t)
	scripts, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "SCRIPTS="+scripts)
	if err := os.MkdirAll(filepath.Join(u.dir, "site"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"web.yaml":   "name: web\nmodules: [./site]\n",
		"site/start": "#!/bin/sh\necho \"$STARTUP_INSTANCE_ID runs the site\"\n",
	} {
		if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u.types("aws s3api create-bucket --bucket bundles")

	u.types("startup-packer pack web.yaml -o web.bundle")
	u.types("startup-packer push web.bundle s3://bundles/web.bundle")
	id := u.types("$SCRIPTS/launch --url s3://bundles/web.bundle --key-file web.bundle.key --bundle web.bundle --image-id ami-0123456789abcdef0 --instance-type t3.small")

	var described struct {
		Reservations []struct {
			Instances []struct {
				MetadataOptions struct {
					HTTPTokens   string `json:"HttpTokens"`
					HTTPHopLimit int    `json:"HttpPutResponseHopLimit"`
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(u.types("aws ec2 describe-instances --output json --instance-ids "+id)), &described); err != nil {
		t.Fatal(err)
	}
	options := described.Reservations[0].Instances[0].MetadataOptions
	if options.HTTPTokens != "required" || options.HTTPHopLimit != 1 {
		t.Errorf("metadata options %+v", options)
	}
	userdata, err := base64.StdEncoding.DecodeString(u.types("aws ec2 describe-instance-attribute --attribute userData --query UserData.Value --output text --instance-id " + id))
	if err != nil {
		t.Fatal(err)
	}

	// The instance: what EC2 was given for it, and a role that may read the bucket.
	instance := imdstest.Sample()
	instance.ID, instance.Userdata, instance.Role = id, userdata, "web"
	instance.Credentials = imdstest.Credentials{AccessKeyID: daemon.AccessKey, SecretAccessKey: daemon.SecretKey}
	metadata, err := imdstest.NewServer(instance)
	if err != nil {
		t.Fatal(err)
	}
	defer metadata.Close()
	there := "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL
	u.types("env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_REGION -u AWS_DEFAULT_REGION startup-agent run --root root", there)
	if said := u.types("startup-agent status --root root", there); !strings.Contains(said, "succeeded") {
		t.Errorf("status says\n%s", said)
	}
	log, err := os.ReadFile(filepath.Join(u.dir, "root/var/log/startup-agent/modules/site.log"))
	if err != nil || !strings.Contains(string(log), id+" runs the site") {
		t.Errorf("%q, %v", log, err)
	}
}

func TestSnippetsAreRead(t *testing.T) {
	launch, err := filepath.Abs("../launch")
	if err != nil {
		t.Fatal(err)
	}
	for kind, reader := range map[string]string{"cloudformation": "cfn-lint", "terraform": "hclfmt"} {
		t.Run(kind, func(t *testing.T) {
			program := daemon.Find(t, reader, "make lint")
			dir := t.TempDir()
			file := filepath.Join(dir, "userdata")
			if err := os.WriteFile(file, []byte("#startup-bundle\nurl: https://bucket.example/${web}.bundle\nkey: a \"quoted\" one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c := exec.Command("bash", launch, "--userdata", file, "--image-id", "ami-0123456789abcdef0", "--instance-type", "t3.small",
				"--security-group-ids", "sg-0123456789abcdef0", "--subnet-id", "subnet-0123456789abcdef0", "--iam-instance-profile", "Name=web",
				"--key-name", "a ${b} \"c\"", "--emit", kind)
			snippet, err := c.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, snippet)
			}
			out := filepath.Join(dir, map[string]string{"cloudformation": "s.yaml", "terraform": "s.tf"}[kind])
			if err := os.WriteFile(out, snippet, 0o600); err != nil {
				t.Fatal(err)
			}
			if said, err := exec.Command(program, out).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s\n%s", err, said, snippet)
			}
		})
	}
}
