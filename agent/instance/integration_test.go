//go:build integration

package instance_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"startup-bundle/agent/instance"
)

const (
	mockModule = "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock@v1.13.0"
	insideEnv  = "STARTUP_TEST_INSIDE_NAMESPACE" // holds the userdata to expect
	ipv4       = "169.254.169.254"
	ipv6       = "fd00:ec2::254"
)

// TestMetadataMock takes userdata and identity from AWS's own mock, at the
// service's own addresses, in a network namespace made for it. It needs root
// and iproute2.
func TestMetadataMock(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip of iproute2")
	}
	mock := installMock(t)
	tests := map[string]struct {
		addresses []string
		userdata  string
		late      bool // the mock starts only once the client waits for it
	}{
		"IPv4 and IPv6":    {[]string{ipv4, ipv6}, text, false},
		"IPv4 alone":       {[]string{ipv4}, text, false},
		"IPv6 alone":       {[]string{ipv6}, text, false},
		"late":             {[]string{ipv4, ipv6}, text, true},
		"without userdata": {[]string{ipv4}, "", false}, // the mock answers 200 with nothing
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			space := namespace(t, tt.addresses)
			inside := exec.CommandContext(t.Context(), "ip", "netns", "exec", space, os.Args[0], "-test.run", "^TestInsideNamespace$", "-test.v")
			inside.Env = append(withoutAWS(os.Environ()), insideEnv+"="+tt.userdata, "HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1")
			output, err := inside.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			inside.Stderr = inside.Stdout
			if err := inside.Start(); err != nil {
				t.Fatal(err)
			}
			lines, said := bufio.NewScanner(output), ""
			waits := func() bool { return strings.Contains(said, "waiting for instance metadata") }
			for tt.late && !waits() && lines.Scan() {
				said += lines.Text() + "\n"
			}
			startMock(t, space, mock, tt.userdata)
			for lines.Scan() {
				said += lines.Text() + "\n"
			}
			if err := errors.Join(lines.Err(), inside.Wait()); err != nil || (tt.late && !waits()) {
				t.Fatalf("%v\n%s", err, said)
			}
		})
	}
}

// TestInsideNamespace is the half of TestMetadataMock that runs in its
// namespace.
func TestInsideNamespace(t *testing.T) {
	want, inside := os.LookupEnv(insideEnv)
	if !inside {
		t.Skip("is started by TestMetadataMock")
	}
	if !ownsMetadataAddress(t) {
		t.Fatal("the metadata address is not this namespace's own: not asking a stranger")
	}
	client := instance.New(instance.Config{Logger: zaptest.NewLogger(t), Deadline: 30 * time.Second})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	got, err := client.Userdata(ctx)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Fatalf("userdata %q, %v", got, err)
	}
	id, err := client.Identity(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantID := instance.Identity{
		InstanceID: "i-0feedfacecafe0001", InstanceType: "t3.micro", Region: "eu-central-1", AvailabilityZone: "eu-central-1a",
		Account: "123456789012", Image: "ami-0b69ea66ff7391e80", Architecture: "x86_64",
	}
	if diff := cmp.Diff(wantID, id); diff != "" {
		t.Error(diff)
	}
	creds, err := client.Credentials().Retrieve(ctx)
	if err != nil || creds.AccessKeyID != "EXAMPLE" || creds.SecretAccessKey != "example" {
		t.Errorf("credentials of %q, %v", creds.AccessKeyID, err)
	}
	refusesVersion1(t)
}

// refusesVersion1 proves that the answers above were of version 2.
func refusesVersion1(t *testing.T) {
	for _, host := range []string{ipv4, "[" + ipv6 + "]"} {
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
		response, err := client.Get("http://" + host + "/latest/meta-data/instance-id")
		if err != nil {
			continue // the namespace has not this address
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("the mock answers %d without a token", response.StatusCode)
		}
	}
}

func ownsMetadataAddress(t *testing.T) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		ip, _, err := net.ParseCIDR(a.String())
		return err == nil && (ip.Equal(net.ParseIP(ipv4)) || ip.Equal(net.ParseIP(ipv6)))
	})
}

// installMock returns the mock's program, built into the checkout's .tools/bin
// where it is not there yet.
func installMock(t *testing.T) string {
	bin, err := filepath.Abs("../../.tools/bin")
	if err != nil {
		t.Fatal(err)
	}
	mock := filepath.Join(bin, "ec2-metadata-mock")
	if _, err := os.Stat(mock); err == nil {
		return mock
	}
	install := exec.CommandContext(t.Context(), "go", "install", mockModule)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v\n%s", mockModule, err, out)
	}
	return mock
}

// namespace makes a network namespace whose loopback has the addresses, and
// deletes it after the test.
func namespace(t *testing.T, addresses []string) string {
	name := fmt.Sprintf("startup-imds-%d", os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { ip("netns", "del", name) })
	ip("-n", name, "link", "set", "lo", "up")
	for _, address := range addresses {
		ip("-n", name, "addr", "add", address, "dev", "lo")
	}
	return name
}

// startMock starts the mock, version 2 only, and ends it after the test.
func startMock(t *testing.T, space, mock, userdata string) {
	type object map[string]any
	config, err := json.Marshal(object{
		"imdsv2": true,
		"server": object{"hostname": "[::]", "port": "80"},
		"metadata": object{"values": object{
			"instance-id": "i-0feedfacecafe0001", "placement-region": "eu-central-1", "placement-availability-zone": "eu-central-1a",
			"iam-security-credentials-role": "web",
			"iam-security-credentials": object{
				"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "EXAMPLE", "SecretAccessKey": "example", "Token": "",
				"Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
			},
		}},
		"dynamic": object{"values": object{"instance-identity-document": object{
			"accountId": "123456789012", "architecture": "x86_64", "availabilityZone": "eu-central-1a", "imageId": "ami-0b69ea66ff7391e80",
			"instanceId": "i-0feedfacecafe0001", "instanceType": "t3.micro", "region": "eu-central-1",
		}}},
		"userdata": object{"values": object{"userdata": base64.StdEncoding.EncodeToString([]byte(userdata))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mock.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("ip", "netns", "exec", space, mock, "--config-file", file)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // ip has become the mock: exec keeps the pid
		_ = command.Wait()
	})
}

// withoutAWS drops what would decide where the service is.
func withoutAWS(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool { return len(v) > 4 && v[:4] == "AWS_" })
}
