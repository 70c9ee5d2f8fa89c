package instance_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"startup-bundle/agent/instance"
	"startup-bundle/internal/imdstest"
)

const text = "#startup-bundle\nurl: https://b.example/w\n"

// dial is a way to reach a server, or not.
type dial = func(ctx context.Context, network, address string) (net.Conn, error)

// machine is a client in a bubble of fake time, and its metadata.
type machine struct {
	client *instance.Client
	logs   *observer.ObservedLogs
	began  time.Time
}

// boot runs body with a client of the metadata of in. Wrap, if any, is put
// between the two.
func boot(t *testing.T, in imdstest.Instance, wrap func(dial) dial, faults []imdstest.Fault, body func(t *testing.T, m machine)) {
	t.Helper()
	environment(t, "", "IPv4", "")
	synctest.Test(t, func(t *testing.T) {
		server := imdstest.NewPipe(in, faults...)
		d := server.Dial
		if wrap != nil {
			d = wrap(d)
		}
		core, logs := observer.New(zapcore.DebugLevel)
		m := machine{instance.New(instance.Config{Logger: zap.New(core), Dial: d}), logs, time.Now()}
		body(t, m)
		m.client.Close()
		server.Close()
	})
}

func sample() imdstest.Instance {
	in := imdstest.Sample()
	in.Userdata = []byte(text)
	return in
}

func redirect(location string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// Each way to be late or wrong, and when the userdata has to be there: the
// moment it can be, which is at most a pause and a timeout later.
func TestUserdataIsPatient(t *testing.T) {
	refused := func(d dial) dial {
		began := time.Now()
		return func(ctx context.Context, n, a string) (net.Conn, error) {
			if time.Since(began) < 30*time.Second {
				return nil, &net.OpError{Op: "dial", Net: n, Err: syscall.ENETUNREACH}
			}
			return d(ctx, n, a)
		}
	}
	silent := func(d dial) dial {
		began := time.Now()
		return func(ctx context.Context, n, a string) (net.Conn, error) {
			if time.Since(began) < 30*time.Second {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return d(ctx, n, a)
		}
	}
	const userdata = "/latest/user-data"
	tests := map[string]struct {
		wrap   func(dial) dial
		faults []imdstest.Fault
		within time.Duration
	}{
		"ready at once":                  {nil, nil, 0},
		"no route for 30 s":              {refused, nil, 31 * time.Second},
		"no answer to connects for 30 s": {silent, nil, 36 * time.Second},
		"no answer to requests for 30 s": {nil, []imdstest.Fault{{For: 30 * time.Second, Do: imdstest.Stall}}, 36 * time.Second},
		"503 for 30 s":                   {nil, []imdstest.Fault{{For: 30 * time.Second, Do: imdstest.Status(503)}}, 31 * time.Second},
		"503 for a minute, on and off": {nil, []imdstest.Fault{
			{Requests: 20, Do: imdstest.Status(503)},
			{Requests: 1, Path: userdata, Do: imdstest.Reset},
			{For: time.Minute, Do: imdstest.Status(503)},
		}, 61 * time.Second},
		"429":                         {nil, []imdstest.Fault{{Requests: 5, Do: imdstest.Status(429)}}, 3 * time.Second},
		"404 for 5 s":                 {nil, []imdstest.Fault{{For: 5 * time.Second, Do: imdstest.Status(404)}}, 6 * time.Second},
		"404 to userdata for 9 s":     {nil, []imdstest.Fault{{For: 9 * time.Second, Path: userdata, Do: imdstest.Status(404)}}, 10 * time.Second},
		"empty userdata for 9 s":      {nil, []imdstest.Fault{{For: 9 * time.Second, Path: userdata, Do: imdstest.Body("")}}, 10 * time.Second},
		"401 then fine":               {nil, []imdstest.Fault{{Requests: 3, Path: userdata, Do: imdstest.Status(401)}}, time.Second},
		"403 to userdata":             {nil, []imdstest.Fault{{Requests: 3, Path: userdata, Do: imdstest.Status(403)}}, time.Second},
		"token refused for 9 s":       {nil, []imdstest.Fault{{For: 9 * time.Second, Do: imdstest.TokenStatus(403)}}, 10 * time.Second},
		"token not found for 30 s":    {nil, []imdstest.Fault{{For: 30 * time.Second, Do: imdstest.TokenStatus(404)}}, 31 * time.Second},
		"token without a lifetime":    {nil, []imdstest.Fault{{Requests: 3, Path: "/latest/api/token", Do: imdstest.Status(200)}}, time.Second},
		"half answers":                {nil, []imdstest.Fault{{Requests: 5, Path: userdata, Do: imdstest.Half}}, 3 * time.Second},
		"half of everything":          {nil, []imdstest.Fault{{Requests: 5, Do: imdstest.Half}}, 3 * time.Second},
		"resets":                      {nil, []imdstest.Fault{{Requests: 5, Do: imdstest.Reset}}, 3 * time.Second},
		"redirects to another answer": {nil, []imdstest.Fault{{Requests: 5, Path: userdata, Do: redirect("/latest/meta-data/instance-id")}}, 3 * time.Second},
		"redirects to nowhere":        {nil, []imdstest.Fault{{Requests: 5, Do: imdstest.Status(302)}}, 3 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			boot(t, sample(), tt.wrap, tt.faults, func(t *testing.T, m machine) {
				got, err := m.client.Userdata(t.Context())
				if err != nil || string(got) != text {
					t.Fatalf("%q, %v", got, err)
				}
				took := time.Since(m.began)
				if took > tt.within {
					t.Errorf("took %s, more than %s", took, tt.within)
				}
				if lines := m.logs.Len(); lines > int(took/(10*time.Second))+2 {
					t.Errorf("%d log lines in %s", lines, took)
				}
			})
		})
	}
}

func TestUserdataIsSurelyNone(t *testing.T) {
	none := imdstest.Sample()
	empty := imdstest.Sample()
	empty.Userdata = []byte{}
	for name, in := range map[string]imdstest.Instance{"not found": none, "empty": empty} {
		t.Run(name, func(t *testing.T) {
			boot(t, in, nil, nil, func(t *testing.T, m machine) {
				got, err := m.client.Userdata(t.Context())
				if got != nil || err != nil {
					t.Fatalf("%q, %v", got, err)
				}
				if took := time.Since(m.began); took < instance.Settle || took > instance.Settle+time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
	t.Run("not while the instance id is not there", func(t *testing.T) {
		faults := []imdstest.Fault{{For: 30 * time.Second, Path: "/latest/meta-data/instance-id", Do: imdstest.Status(404)}}
		boot(t, none, nil, faults, func(t *testing.T, m machine) {
			got, err := m.client.Userdata(t.Context())
			if took := time.Since(m.began); got != nil || err != nil || took < 40*time.Second {
				t.Fatalf("%q, %v after %s", got, err, took)
			}
		})
	})
}

// Absence counts from the last time that the service was not ready.
func TestUserdataStartsOver(t *testing.T) {
	var began time.Time
	late := imdstest.Fault{For: 15 * time.Second, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if began.IsZero() {
			began = time.Now()
		}
		switch since := time.Since(began); {
		case since > 7*time.Second && since < 9*time.Second:
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, "user-data"):
			w.WriteHeader(http.StatusNotFound)
		default:
			next.ServeHTTP(w, r)
		}
	}}
	boot(t, sample(), nil, []imdstest.Fault{late}, func(t *testing.T, m machine) {
		if got, err := m.client.Userdata(t.Context()); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Userdata that is gzip'd is data, and no encoding to be undone on the way.
func TestNoCompressionIsAskedFor(t *testing.T) {
	asks := imdstest.Fault{Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if encoding := r.Header.Get("Accept-Encoding"); encoding != "" {
			t.Errorf("asks for %s", encoding)
		}
		next.ServeHTTP(w, r)
	}}
	boot(t, sample(), nil, []imdstest.Fault{asks}, func(t *testing.T, m machine) {
		if _, err := m.client.Userdata(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestUserdataGivesUp(t *testing.T) {
	tests := map[string]struct {
		fault imdstest.Fault
		is    error
		says  string
		after time.Duration
	}{
		"disabled": {
			imdstest.Fault{Do: imdstest.TokenStatus(403)},
			instance.ErrDisabled,
			"metadata answered 403 Forbidden to /latest/api/token; enable it", 10 * time.Second,
		},
		"storm": {
			imdstest.Fault{Do: imdstest.Status(503)},
			instance.ErrUnreachable,
			"within 2m0s: metadata answered 503 Service Unavailable to /latest/api/token", 2 * time.Minute,
		},
		"silence": {imdstest.Fault{Do: imdstest.Stall}, instance.ErrUnreachable, "context deadline exceeded", 2 * time.Minute},
		"flood": {
			imdstest.Fault{Do: imdstest.Body(strings.Repeat("x", 1<<20))},
			nil,
			"longer than 65536 bytes", 0,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			boot(t, sample(), nil, []imdstest.Fault{tt.fault}, func(t *testing.T, m machine) {
				got, err := m.client.Userdata(t.Context())
				if got != nil || err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("%q, %v", got, err)
				}
				if took := time.Since(m.began); took < tt.after || took > tt.after+time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestIdentity(t *testing.T) {
	whole := instance.Identity{
		InstanceID: "i-0123456789abcdef0", InstanceType: "t3.micro", Region: "eu-central-1", AvailabilityZone: "eu-central-1a",
		Account: "123456789012", Image: "ami-0b69ea66ff7391e80", Architecture: "x86_64",
	}
	partial := whole
	partial.Account, partial.Architecture = "", ""
	const document = "/latest/dynamic/instance-identity/document"
	tests := map[string]struct {
		faults []imdstest.Fault
		want   instance.Identity
		within time.Duration
	}{
		"document":                {nil, whole, 0},
		"document late":           {[]imdstest.Fault{{For: 5 * time.Second, Path: document, Do: imdstest.Status(404)}}, whole, 6 * time.Second},
		"document halved":         {[]imdstest.Fault{{Requests: 3, Path: document, Do: imdstest.Half}}, whole, time.Second},
		"document garbled":        {[]imdstest.Fault{{Requests: 3, Path: document, Do: imdstest.Body("{")}}, whole, time.Second},
		"no document":             {[]imdstest.Fault{{Path: document, Do: imdstest.Status(404)}}, partial, 11 * time.Second},
		"document without fields": {[]imdstest.Fault{{Path: document, Do: imdstest.Body(`{"instanceId": "i-0123456789abcdef0", "pendingTime": 5}`)}}, partial, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			boot(t, sample(), nil, tt.faults, func(t *testing.T, m machine) {
				got, err := m.client.Identity(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				if took := time.Since(m.began); took > tt.within {
					t.Errorf("took %s", took)
				}
				if region, err := m.client.Region(t.Context()); region != "eu-central-1" || err != nil {
					t.Errorf("%q, %v", region, err)
				}
			})
		})
	}
}

func TestIdentityIsAskedOnce(t *testing.T) {
	boot(t, sample(), nil, nil, func(t *testing.T, m machine) {
		first, err := m.client.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if again, err := m.client.Identity(canceled); err != nil || again != first {
			t.Errorf("%v, %v", again, err)
		}
	})
}

func TestRegionIsNeverEmpty(t *testing.T) {
	in := sample()
	in.Region = ""
	boot(t, in, nil, nil, func(t *testing.T, m machine) {
		if region, err := m.client.Region(t.Context()); region != "" || err == nil {
			t.Errorf("%q, %v", region, err)
		}
	})
}

func TestIdentityNeedsAnInstanceID(t *testing.T) {
	in := sample()
	in.ID = ""
	boot(t, in, nil, nil, func(t *testing.T, m machine) {
		id, err := m.client.Identity(t.Context())
		if !errors.Is(err, instance.ErrUnreachable) || id != (instance.Identity{}) {
			t.Errorf("%v, %v", id, err)
		}
		if region, err := m.client.Region(t.Context()); region != "" || !errors.Is(err, instance.ErrUnreachable) {
			t.Errorf("%q, %v", region, err)
		}
	})
}

// A caller's own end is not mistaken for the service's.
func TestCallerGivesUp(t *testing.T) {
	boot(t, sample(), nil, []imdstest.Fault{{Do: imdstest.Status(503)}}, func(t *testing.T, m machine) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got, err := m.client.Userdata(ctx)
		if got != nil || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, instance.ErrUnreachable) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// A patience too short to be sure of none says so.
func TestShortPatienceIsNeverSure(t *testing.T) {
	environment(t, "", "IPv4", "")
	synctest.Test(t, func(t *testing.T) {
		server := imdstest.NewPipe(imdstest.Sample())
		defer server.Close()
		client := instance.New(instance.Config{Logger: zap.NewNop(), Deadline: 3 * time.Second, Dial: server.Dial})
		defer client.Close()
		if got, err := client.Userdata(t.Context()); got != nil || !errors.Is(err, instance.ErrUnreachable) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestLogIsQuiet(t *testing.T) {
	faults := []imdstest.Fault{{For: 35 * time.Second, Do: imdstest.Status(503)}}
	boot(t, sample(), nil, faults, func(t *testing.T, m machine) {
		if _, err := m.client.Userdata(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range m.logs.All() {
			got = append(got, entry.Time.Sub(m.began).Truncate(time.Second).String()+" "+entry.Message)
		}
		want := []string{
			"0s waiting for instance metadata", "10s still waiting for instance metadata", "20s still waiting for instance metadata",
			"30s still waiting for instance metadata", "35s instance metadata answered",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCredentials(t *testing.T) {
	in := imdstest.Sample()
	in.Role, in.Credentials = "web", imdstest.Credentials{AccessKeyID: "ID", SecretAccessKey: "secret", Token: "token"}
	const list = "/latest/meta-data/iam/security-credentials/"
	t.Run("role", func(t *testing.T) {
		faults := []imdstest.Fault{{For: 5 * time.Second, Path: list, Do: imdstest.Status(404)}, {Requests: 2, Do: imdstest.Reset}}
		boot(t, in, nil, faults, func(t *testing.T, m machine) {
			got, err := m.client.Credentials().Retrieve(t.Context())
			if err != nil || got.AccessKeyID != "ID" || got.SecretAccessKey != "secret" || got.SessionToken != "token" || !got.CanExpire {
				t.Fatalf("%v", err)
			}
		})
	})
	t.Run("no role", func(t *testing.T) {
		boot(t, imdstest.Sample(), nil, nil, func(t *testing.T, m machine) {
			_, err := m.client.Credentials().Retrieve(t.Context())
			if !errors.Is(err, instance.ErrNoRole) || time.Since(m.began) > 11*time.Second {
				t.Fatalf("%v after %s", err, time.Since(m.began))
			}
		})
	})
	t.Run("kept, and asked anew before they expire", func(t *testing.T) {
		var asked []time.Duration
		began := time.Time{}
		count := imdstest.Fault{Path: list, Do: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if began.IsZero() {
				began = time.Now()
			}
			asked = append(asked, time.Since(began).Round(time.Minute))
			next.ServeHTTP(w, r)
		}}
		boot(t, in, nil, []imdstest.Fault{count}, func(t *testing.T, m machine) {
			for range 24 {
				if _, err := m.client.Credentials().Retrieve(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute)
			}
		})
		if diff := cmp.Diff([]time.Duration{0, 55 * time.Minute, 110 * time.Minute}, asked); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("storm", func(t *testing.T) {
		boot(t, in, nil, []imdstest.Fault{{Path: list, Do: imdstest.Status(503)}}, func(t *testing.T, m machine) {
			_, err := m.client.Credentials().Retrieve(t.Context())
			if !errors.Is(err, instance.ErrUnreachable) || errors.Is(err, instance.ErrNoRole) {
				t.Error(err)
			}
		})
	})
}

// What signs says that it has no credentials as soon as metadata does not answer.
func TestMissingCredentialsAreToldAtOnce(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *instance.Client) error{
		"region": func(ctx context.Context, c *instance.Client) error { _, err := c.Region(ctx); return err },
		"credentials": func(ctx context.Context, c *instance.Client) error {
			_, err := c.Credentials().Retrieve(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			boot(t, sample(), nil, []imdstest.Fault{{Do: imdstest.Status(503)}}, func(t *testing.T, m machine) {
				if err := ask(t.Context(), m.client); err == nil {
					t.Fatal("no error")
				}
				first := m.logs.All()[0]
				if !strings.HasPrefix(first.Message, "no credentials (no instance role)") || first.Level != zap.WarnLevel || first.Time.Sub(m.began) > time.Second {
					t.Errorf("%v %v %s", first.Time.Sub(m.began), first.Level, first.Message)
				}
			})
		})
	}
}
