package instance_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"startup-bundle/agent/instance"
	"startup-bundle/internal/imdstest"
)

const (
	ipv4Address = "169.254.169.254:80"
	ipv6Address = "[fd00:ec2::254]:80"
)

// Where the environment says nothing, both addresses are tried, and the one
// that answers is kept.
func TestAddressesAreRaced(t *testing.T) {
	unreachable := func(context.Context) error { return syscall.ENETUNREACH }
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fine := func(context.Context) error { return nil }
	type reach = map[string]func(context.Context) error
	tests := map[string]struct {
		mode   string
		reach  reach
		within time.Duration
		keeps  string // the address of everything after the first attempt; empty: either
	}{
		"IPv4 alone, IPv6 refused":    {"", reach{ipv4Address: fine, ipv6Address: unreachable}, 0, ipv4Address},
		"IPv4 alone, IPv6 silent":     {"", reach{ipv4Address: fine, ipv6Address: silent}, 0, ipv4Address},
		"IPv6 alone, IPv4 refused":    {"", reach{ipv4Address: unreachable, ipv6Address: fine}, 0, ipv6Address},
		"IPv6 alone, IPv4 silent":     {"", reach{ipv4Address: silent, ipv6Address: fine}, 0, ipv6Address},
		"both":                        {"", reach{ipv4Address: fine, ipv6Address: fine}, 0, ""},
		"told to use IPv4":            {"IPv4", reach{ipv4Address: fine}, 0, ipv4Address},
		"told to use IPv6 otherwise":  {"ipv6", reach{ipv6Address: fine}, 0, ipv6Address},
		"told to use IPv6, no answer": {"IPv6", reach{ipv6Address: unreachable}, -1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			environment(t, "", tt.mode, "")
			synctest.Test(t, func(t *testing.T) {
				server := imdstest.NewPipe(sample())
				defer server.Close()
				var mu sync.Mutex
				dialed := map[string]int{}
				client := instance.New(instance.Config{
					Logger: zap.NewNop(), Deadline: time.Minute,
					Dial: func(ctx context.Context, n, address string) (net.Conn, error) {
						mu.Lock()
						dialed[address]++
						mu.Unlock()
						reach := tt.reach[address]
						if reach == nil {
							t.Errorf("dialed %s", address)
							return nil, syscall.EACCES
						}
						if err := reach(ctx); err != nil {
							return nil, err
						}
						return server.Dial(ctx, n, address)
					},
				})
				defer client.Close()
				began := time.Now()
				got, err := client.Userdata(t.Context())
				if tt.within < 0 {
					if !errors.Is(err, instance.ErrUnreachable) || !errors.Is(err, syscall.ENETUNREACH) {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil || string(got) != text || time.Since(began) > tt.within {
					t.Fatalf("%q, %v after %s", got, err, time.Since(began))
				}
				synctest.Wait()
				mu.Lock()
				clear(dialed)
				mu.Unlock()
				client.Close() // idle connections, so that the next call dials
				if _, err := client.Identity(t.Context()); err != nil {
					t.Fatal(err)
				}
				if tt.keeps != "" {
					if diff := cmp.Diff(map[string]int{tt.keeps: 1}, dialed); diff != "" {
						t.Error(diff)
					}
				}
			})
		})
	}
}

// An address that stops answering is given up for the other.
func TestAddressIsLetGo(t *testing.T) {
	environment(t, "", "", "")
	synctest.Test(t, func(t *testing.T) {
		server := imdstest.NewPipe(sample())
		defer server.Close()
		good := ipv4Address
		var mu sync.Mutex
		client := instance.New(instance.Config{Logger: zap.NewNop(), Dial: func(ctx context.Context, n, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if address != good {
				return nil, syscall.EHOSTUNREACH
			}
			return server.Dial(ctx, n, address)
		}})
		defer client.Close()
		if _, err := client.Userdata(t.Context()); err != nil {
			t.Fatal(err)
		}
		client.Close()
		mu.Lock()
		good = ipv6Address
		mu.Unlock()
		began := time.Now()
		if _, err := client.Identity(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
	})
}

func TestEnvironment(t *testing.T) {
	server, err := imdstest.NewServer(sample())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	tests := map[string]struct {
		endpoint, mode, disabled string
		is                       error
		says                     string
	}{
		"endpoint":                 {server.URL, "", "", nil, ""},
		"endpoint with a slash":    {server.URL + "/", "", "", nil, ""},
		"endpoint beats the mode":  {server.URL, "IPv6", "", nil, ""},
		"endpoint that is none":    {"169.254.169.254", "", "", instance.ErrUnreachable, "AWS_EC2_METADATA_SERVICE_ENDPOINT is not an http URL; correct it, or unset it"},
		"mode that is none":        {"", "IPv5", "", instance.ErrUnreachable, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is neither IPv4 nor IPv6; correct it, or unset it"},
		"disabled":                 {server.URL, "", "TRUE", instance.ErrDisabled, "AWS_EC2_METADATA_DISABLED=true is set; unset it"},
		"disabled by another word": {server.URL, "", "no", nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			environment(t, tt.endpoint, tt.mode, tt.disabled)
			t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
			t.Setenv("NO_PROXY", "")
			client := instance.New(instance.Config{Logger: zap.NewNop(), Deadline: 10 * time.Second})
			defer client.Close()
			got, err := client.Userdata(t.Context())
			if tt.is == nil {
				if err != nil || string(got) != text {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if got != nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func environment(t *testing.T, endpoint, mode, disabled string) {
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", mode)
	t.Setenv("AWS_EC2_METADATA_DISABLED", disabled)
}
