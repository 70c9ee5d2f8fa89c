package registry

import (
	"net/http"
	"testing"
)

func TestCheckRedirect(t *testing.T) {
	request := func(url string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, x := range map[string]struct {
		to    string
		via   []string
		allow bool
	}{
		"to storage":          {"https://storage.example/x", []string{"https://registry.example/x"}, true},
		"out of https":        {"http://storage.example/x", []string{"https://registry.example/x"}, false},
		"out of https, later": {"http://storage.example/x", []string{"https://registry.example/x", "https://storage.example/x"}, false},
		"http all the way":    {"http://127.0.0.1:2/x", []string{"http://127.0.0.1:1/x"}, true},
		"too often":           {"https://h.example/6", []string{"https://h.example/0", "https://h.example/1", "https://h.example/2", "https://h.example/3", "https://h.example/4", "https://h.example/5"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var via []*http.Request
			for _, url := range x.via {
				via = append(via, request(url))
			}
			if err := checkRedirect(request(x.to), via); (err == nil) != x.allow {
				t.Errorf("got %v", err)
			}
		})
	}
}
