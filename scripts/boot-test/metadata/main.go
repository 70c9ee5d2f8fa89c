// Command metadata stands before AWS's metadata mock and does what the mock does
// not, but EC2 does: it answers 404 where there is no userdata, and it has the
// dated versions of all paths, which cloud-init asks for.
package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: metadata ADDRESS MOCK_URL")
		os.Exit(2)
	}
	mock, err := url.Parse(os.Args[2])
	if err == nil {
		server := &http.Server{Addr: os.Args[1], Handler: before(mock), ReadHeaderTimeout: 5 * time.Second}
		err = server.ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, "metadata:", err)
	os.Exit(1)
}

func before(mock *url.URL) http.Handler {
	dated := regexp.MustCompile(`^/\d{4}-\d{2}-\d{2}/`)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(mock)
			r.Out.URL.Path = dated.ReplaceAllString(r.In.URL.Path, "/latest/")
			r.Out.URL.RawPath = ""
		},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Path == "/latest/user-data" && r.StatusCode == http.StatusOK && r.ContentLength == 0 {
				r.StatusCode, r.Status = http.StatusNotFound, "404 Not Found"
			}
			return nil
		},
	}
}
