package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"startup-bundle/agent/fetch"
)

// A redirect is followed once, and its end asked for the rest.
func TestARedirectIsFollowedOnce(t *testing.T) {
	data := payload(9 << 20)
	for name, code := range map[string]int{"301": 301, "302": 302, "303": 303, "307": 307, "308": 308} {
		t.Run(name, func(t *testing.T) {
			bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
				hop := &meter{Handler: http.RedirectHandler("http://cdn.example/b?signature=s3cret", code)}
				origin := &meter{Handler: http.RedirectHandler("http://hop.example/", code)}
				n := newNetwork(t, map[string]http.Handler{"mirror.example": origin, "hop.example": hop, "cdn.example": object(data)})
				got, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}, SHA256: digest(data)})
				if err != nil || !bytes.Equal(got, data) || origin.requests.Load() != 1 || hop.requests.Load() != 1 {
					t.Errorf("%d bytes, %d requests, %d at the next: %v", len(got), origin.requests.Load(), hop.requests.Load(), err)
				}
			})
		})
	}
}

// Where a redirect ends may be good for some requests only.
func TestARedirectThatExpiresIsFollowedAgain(t *testing.T) {
	data := payload(20 << 20)
	reset := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, expired := range map[string]http.HandlerFunc{
		"400": status(400), "401": status(401), "403": status(403), "404": status(404), "410": status(410),
		"503": status(503), "a reset": reset, "a redirect away": http.RedirectHandler("http://old.invalid/", http.StatusFound).ServeHTTP,
	} {
		for _, good := range []int64{1, 3, 10} {
			t.Run(fmt.Sprintf("%s after %d requests", name, good), func(t *testing.T) {
				bubble(t, 2*time.Minute, func(t *testing.T, ctx context.Context) {
					var signed atomic.Int64
					origin := &meter{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						http.Redirect(w, r, fmt.Sprintf("http://cdn.example/%d", signed.Add(1)), http.StatusFound)
					})}
					seen := map[string]*atomic.Int64{}
					for i := range 100 {
						seen[fmt.Sprintf("/%d", i)] = &atomic.Int64{}
					}
					n := newNetwork(t, map[string]http.Handler{"mirror.example": origin, "cdn.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if seen[r.URL.Path].Add(1) > good {
							expired(w, r)
							return
						}
						object(data)(w, r)
					})})
					began := time.Now()
					got, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{mirrorURL}, SHA256: digest(data)})
					if err != nil || !bytes.Equal(got, data) || origin.requests.Load() > 60 {
						t.Errorf("%d bytes, %d requests: %v", len(got), origin.requests.Load(), err)
					}
					if waited := time.Since(began); strings.HasPrefix(name, "4") && waited > 0 && good > 1 {
						t.Errorf("it waited for %v before it asked the origin", waited)
					}
				})
			})
		}
	}
}

func TestARedirectsEndGetsNoCredentialsOfItsOrigin(t *testing.T) {
	data := payload(5 << 20)
	bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
		var told atomic.Int64
		n := newNetwork(t, map[string]http.Handler{
			"mirror.example": http.RedirectHandler("http://cdn.example/", http.StatusFound),
			"cdn.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization")+r.Header.Get("Referer") != "" {
					told.Add(1)
				}
				object(data)(w, r)
			}),
		})
		_, _, err := fetchAll(ctx, n, fetch.Request{URLs: []string{"http://user:pw@mirror.example/web.bundle"}})
		if err != nil || told.Load() > 0 {
			t.Errorf("%d requests told: %v", told.Load(), err)
		}
	})
}

// What is not a broken network is named, and given up after half a minute.
func TestWhatTheOtherSideGetsWrongIsNamed(t *testing.T) {
	location := func(code int, to string) http.HandlerFunc { return status(code, "Location", to) }
	page := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, text)
		}
	}
	for name, test := range map[string]struct {
		url     string
		proxy   http.HandlerFunc
		handler http.HandlerFunc
		kind    fetch.Kind // Deadline: it is tried until then
		text    string
	}{
		"a proxy that wants a password": {url: "https://mirror.example/", proxy: status(407), kind: fetch.Proxy, text: "the proxy proxy.example:3128 answers CONNECT with 407 Proxy Auth"},
		"a proxy that forbids":          {url: "https://mirror.example/", proxy: status(403), kind: fetch.Proxy, text: "CONNECT with 403 Forbidden"},
		"a proxy that does not proxy":   {url: "https://mirror.example/", proxy: status(405), kind: fetch.Proxy, text: "CONNECT with 405"},
		"a proxy with a bad gateway":    {url: "https://mirror.example/", proxy: status(502), kind: fetch.Proxy, text: "CONNECT with 502 Bad Gateway"},
		"a proxy that cannot reach it":  {url: "https://mirror.example/", proxy: status(503), kind: fetch.Deadline, text: "CONNECT with 503"},
		"a proxy for plain http":        {url: "http://mirror.example/", proxy: status(407), kind: fetch.Denied, text: "407"},
		"plain http at an https URL":    {url: "https://mirror.example/", handler: status(200), kind: fetch.TLS, text: "speaks plain http"},
		"https at a plain URL, nginx":   {handler: page("<title>400 The plain HTTP request was sent to HTTPS port</title>"), kind: fetch.Refused, text: "expects https"},
		"https at a plain URL, Go":      {handler: page("Client sent an HTTP request to an HTTPS server.\n"), kind: fetch.Refused, text: "expects https"},
		"https at a plain URL, Apache":  {handler: page("You're speaking plain HTTP to an SSL-enabled server port."), kind: fetch.Refused, text: "expects https"},
		"a Location that is not a URL":  {handler: location(302, "https://[bad?secret=s3cret"), kind: fetch.Redirect, text: "its Location is not a URL"},
		"a Location with a bad escape":  {handler: location(301, "/%zz?secret=s3cret"), kind: fetch.Redirect, text: "its Location is not a URL"},
		"a Location with a bad port":    {handler: location(307, "http://a:b:c/?secret=s3cret"), kind: fetch.Redirect, text: "its Location is not a URL"},
		"a Location without a host":     {handler: location(303, "http:///b?secret=s3cret"), kind: fetch.Redirect, text: "names no host"},
		"a Location of a port alone":    {handler: location(308, "http://:8080/?secret=s3cret"), kind: fetch.Redirect, text: "names no host"},
		"a Location for mail":           {handler: location(302, "mailto:s3cret@mirror.example"), kind: fetch.Redirect, text: "only http and https"},
		"no Location":                   {handler: status(302), kind: fetch.Redirect, text: "does not say where to"},
		"an empty Location":             {handler: location(301, ""), kind: fetch.Redirect, text: "does not say where to"},
		"a host that does not exist":    {handler: location(302, "http://nowhere.invalid/?secret=s3cret"), kind: fetch.Deadline, text: "nowhere.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
				n := newNetwork(t, map[string]http.Handler{"mirror.example": test.handler, "proxy.example": test.proxy})
				if test.proxy != nil {
					n.transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:3128"})
				}
				from := mirrorURL
				if test.url != "" {
					from = test.url
				}
				began := time.Now()
				_, err := bringIn(ctx, n, fetch.Request{URLs: []string{from}})
				took := time.Since(began)
				var e *fetch.Error
				if !errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(err.Error(), test.text) || e.Hint == "" || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("got %v", err)
				}
				if final := test.kind != fetch.Deadline; final && (took < 30*time.Second || took > time.Minute) || !final && took < 10*time.Minute {
					t.Errorf("given up after %v", took)
				}
			})
		})
	}
}
