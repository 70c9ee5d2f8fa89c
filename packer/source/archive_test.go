package source

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestARedirectedDownloadTellsNobodyWhereItCameFrom(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		var told http.Header
		end := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			told = r.Header.Clone()
			_, _ = io.WriteString(w, "archive")
		}))
		defer end.Close()
		begin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, end.URL+"/hello.tgz", code)
		}))
		defer begin.Close()
		var got bytes.Buffer
		_, err := download(t.Context(), begin.URL+"/private/hello.tgz?X-Amz-Signature=s3cret", &got)
		if err != nil || got.String() != "archive" {
			t.Fatalf("%q: %v", got.String(), err)
		}
		if told.Get("Referer") != "" || told.Get("Authorization") != "" {
			t.Errorf("after %d the other server was told %v", code, told)
		}
	}
}
