package bakecheck_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent"
	"startup-bundle/agent/bakecheck"
	"startup-bundle/internal/terminal"
)

const (
	wants       = "etc/systemd/system/multi-user.target.wants/startup-agent.service"
	unit        = "usr/lib/systemd/system/startup-agent.service"
	debianRoots = "etc/ssl/certs/ca-certificates.crt"
	document    = "#startup-bundle\nurl: https://bucket.example/web.bundle\nkey: stirringdullroots\n"
)

// image is a root folder of an image that is ready.
type image struct {
	t    *testing.T
	root string
}

func ready(t *testing.T) image {
	i := image{t, t.TempDir()}
	i.write(unit, "[Unit]\n")
	i.link("/usr/lib/systemd/system/startup-agent.service", wants)
	i.write(debianRoots, "# a comment\n"+certificate(t))
	i.mkdir("var/lib/startup-agent")
	i.mkdir("var/log/startup-agent")
	i.write("var/lib/startup-agent/lock", "")
	return i
}

func (i image) mkdir(path string) {
	i.t.Helper()
	if err := os.MkdirAll(filepath.Join(i.root, path), 0o755); err != nil {
		i.t.Fatal(err)
	}
}

func (i image) write(path, text string) {
	i.t.Helper()
	i.mkdir(filepath.Dir(path))
	if err := os.WriteFile(filepath.Join(i.root, path), []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

func (i image) link(target, path string) {
	i.t.Helper()
	i.mkdir(filepath.Dir(path))
	if err := os.Symlink(target, filepath.Join(i.root, path)); err != nil {
		i.t.Fatal(err)
	}
}

func (i image) remove(path string) {
	i.t.Helper()
	if err := os.RemoveAll(filepath.Join(i.root, path)); err != nil {
		i.t.Fatal(err)
	}
}

func certificate(t *testing.T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCheck(t *testing.T) {
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name   string
		change func(image)
		now    time.Time
		want   []string // how each finding begins, and what it tells to do
	}{
		{name: "an image that is ready", change: func(image) {}},
		{name: "an image whose agent never started", change: func(i image) { i.remove("var/lib/startup-agent"); i.remove("var/log/startup-agent") }},
		{
			name: "a record", change: func(i image) { i.write("var/lib/startup-agent/record.json", "{}") },
			want: []string{"the record of a run is left: /var/lib/startup-agent/record.json → startup-agent reset --all --yes"},
		},
		{
			name: "a bundle, whole and in part", change: func(i image) {
				i.mkdir("var/lib/startup-agent/bundle")
				i.mkdir("var/lib/startup-agent/bundle.staged")
			},
			want: []string{
				"an unpacked bundle is left: /var/lib/startup-agent/bundle → startup-agent reset --all --yes",
				"state of the agent is left: /var/lib/startup-agent/bundle.staged → startup-agent reset --all --yes",
			},
		},
		{
			name: "secrets of a run", change: func(i image) { i.write("var/lib/startup-agent/env.json", "{}") },
			want: []string{"the environment of a run, which may hold secrets is left: /var/lib/startup-agent/env.json → startup-agent reset --all --yes"},
		},
		{
			name: "modules' state", change: func(i image) { i.mkdir("var/lib/startup-agent/state/java") },
			want: []string{"state of modules is left: /var/lib/startup-agent/state → startup-agent reset --all --yes"},
		},
		{
			name: "a status, as where the machine still runs", change: func(i image) { i.write("run/startup-agent/status.json", "{}") },
			want: []string{"the status of a run is left: /run/startup-agent/status.json → startup-agent reset --all --yes"},
		},
		{
			name: "logs", change: func(i image) { i.write("var/log/startup-agent/agent.jsonl", "") },
			want: []string{"logs are left: /var/log/startup-agent/agent.jsonl → startup-agent reset --all --yes"},
		},
		{
			name: "a document that cloud-init kept", change: func(i image) {
				i.write("var/lib/cloud/instances/i-1/user-data.txt", document)
				i.write("var/lib/cloud/instances/i-1/user-data.txt.i", "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\nContent-Type: text/x-startup-bundle\n\n"+document+"--x--\n")
			},
			want: []string{
				"cloud-init kept a start-up document, which may hold a key: /var/lib/cloud/instances/i-1/user-data.txt → cloud-init clean --logs",
				"cloud-init kept a start-up document, which may hold a key: /var/lib/cloud/instances/i-1/user-data.txt.i → cloud-init clean --logs",
			},
		},
		{name: "cloud-init's own userdata", change: func(i image) { i.write("var/lib/cloud/instances/i-1/user-data.txt", "#cloud-config\nhostname: a\n") }},
		{
			name: "a unit that is not enabled", change: func(i image) { i.remove(wants) },
			want: []string{"the unit is not enabled: no instance would take on a role → systemctl enable startup-agent.service"},
		},
		{
			name: "no unit", change: func(i image) { i.remove(wants); i.remove(unit) },
			want: []string{"the unit startup-agent.service is not installed → install the package, or run scripts/install.sh"},
		},
		{
			name: "a masked unit", change: func(i image) { i.link("/dev/null", "etc/systemd/system/startup-agent.service") },
			want: []string{"the unit is masked: /etc/systemd/system/startup-agent.service → systemctl unmask startup-agent.service"},
		},
		{
			name: "no CA certificates", change: func(i image) { i.remove("etc/ssl") },
			want: []string{"there are no CA certificates: no https URL could be fetched → install the package ca-certificates"},
		},
		{
			name: "a file of CA certificates with none in it", change: func(i image) { i.write(debianRoots, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") },
			want: []string{"there are no CA certificates: no https URL could be fetched → install the package ca-certificates"},
		},
		{name: "Amazon Linux's CA certificates", change: func(i image) {
			i.remove("etc/ssl")
			i.link("/etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/certs/ca-certificates.crt")
			i.write("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", certificate(t))
		}},
		{
			name: "a clock at the epoch", now: time.Unix(7, 0), change: func(image) {},
			want: []string{"the clock says 1970-01-01T00:00:07Z → set it: install and start chrony or systemd-timesyncd"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := ready(t)
			test.change(i)
			if test.now.IsZero() {
				test.now = now
			}
			findings, err := bakecheck.Check(agent.Paths{Root: i.root}, test.now)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				do, forRoot := strings.CutSuffix(f.Do, " --root "+terminal.Quote(i.root))
				if strings.HasPrefix(do, "startup-agent reset") && !forRoot {
					t.Errorf("%q is for another machine than the image", f.Do)
				}
				got = append(got, f.What+" → "+do)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckSaysWhatItCouldNotLookAt(t *testing.T) {
	i := ready(t)
	i.remove("var/log/startup-agent")
	i.write("var/log/startup-agent", "a file where a folder should be")
	_, err := bakecheck.Check(agent.Paths{Root: i.root}, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err == nil || !strings.Contains(err.Error(), "/var/log/startup-agent") {
		t.Errorf("got %v, want an error that names the folder", err)
	}
	if _, err := bakecheck.Check(agent.Paths{Root: filepath.Join(i.root, "nowhere")}, time.Now()); err == nil {
		t.Error("a root that is not there was found ready")
	}
}
