//go:build integration

package fetch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
	"startup-bundle/agent/transport"
	"startup-bundle/internal/daemon"
)

type toxic struct {
	Type       string         `json:"type"`
	Attributes map[string]int `json:"attributes"`
}

// poison puts a proxy with toxics before upstream and returns its address.
func poison(t *testing.T, api, upstream string, toxics ...toxic) string {
	t.Helper()
	listen := daemon.Address(t)
	post(t, api+"/proxies", map[string]any{"name": listen, "listen": listen, "upstream": upstream, "enabled": true})
	for _, x := range toxics {
		post(t, api+"/proxies/"+listen+"/toxics", x)
	}
	return listen
}

func post(t *testing.T, url string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("post %s: %s", url, resp.Status)
	}
}

func TestThroughABadNetwork(t *testing.T) {
	program := daemon.Find(t, "toxiproxy-server", "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0, as toxiproxy-server")
	address := daemon.Address(t)
	host, port, _ := strings.Cut(address, ":")
	daemon.Start(t, address, program, "-host", host, "-port", port)
	data := payload(9<<20 + 3)
	plain := httptest.NewServer(noRanges(object(data)))
	defer plain.Close()
	ranged := httptest.NewServer(object(data))
	defer ranged.Close()
	for name, toxics := range map[string][]toxic{
		"nothing":               nil,
		"a slow line":           {{"latency", map[string]int{"latency": 50, "jitter": 30}}, {"bandwidth", map[string]int{"rate": 20000}}},
		"every connection cut":  {{"limit_data", map[string]int{"bytes": 1_500_000}}},
		"tiny packets":          {{"slicer", map[string]int{"average_size": 3000, "size_variation": 2000}}},
		"a silent first mirror": {{"timeout", map[string]int{"timeout": 0}}},
		"a reset first mirror":  {{"reset_peer", map[string]int{"timeout": 0}}},
	} {
		for server, upstream := range map[string]*httptest.Server{"ranges": ranged, "one body": plain} {
			t.Run(name+" "+server, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if name == "every connection cut" && upstream == plain {
					return // without ranges nothing past the cut can ever arrive
				}
				rt, err := transport.New("")
				if err != nil {
					t.Fatal(err)
				}
				rt.ResponseHeaderTimeout = time.Second
				c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: rt})
				r := fetch.Request{SHA256: digest(data)}
				at := "http://" + poison(t, "http://"+address, upstream.Listener.Addr().String(), toxics...) + "/web.bundle"
				r.URLs = []string{at}
				if strings.Contains(name, "first mirror") {
					r.URLs = append(r.URLs, upstream.URL)
				}
				got, _, err := fetchWith(ctx, c, r)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes: %v", len(got), err)
				}
			})
		}
	}
}
