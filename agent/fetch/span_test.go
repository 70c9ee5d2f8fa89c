package fetch

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestContentRange(t *testing.T) {
	tests := map[string]struct {
		want span
		size int64
		ok   bool
	}{
		"bytes 0-0/1":                       {span{0, 0}, 1, true},
		"bytes 5-9/100":                     {span{5, 9}, 100, true},
		"bytes 5-9/*":                       {span{5, 9}, -1, true},
		"bytes */7":                         {all, 7, true},
		"":                                  {all, -1, false},
		"bytes":                             {all, -1, false},
		"bytes 5-9":                         {all, -1, false},
		"items 5-9/100":                     {all, -1, false},
		"bytes 9-5/100":                     {all, -1, false},
		"bytes 5-100/100":                   {all, -1, false},
		"bytes -5/100":                      {all, -1, false},
		"bytes +5-9/100":                    {all, -1, false},
		"bytes 5/100":                       {all, -1, false},
		"bytes 0-1/-2":                      {all, -1, false},
		"bytes 0-9223372036854775808/*":     {all, -1, false},
		"bytes 0-1/99999999999999999999999": {all, -1, false},
	}
	for text, test := range tests {
		got, size, err := contentRange(text)
		if got != test.want || size != test.size || (err == nil) != test.ok {
			t.Errorf("%q: %v, %d, %v", text, got, size, err)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, text := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */7", "bytes 9-5/100", "bytes 0-9223372036854775807/9223372036854775807"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, size, err := contentRange(text)
		switch {
		case err != nil && (got != all || size != -1):
			t.Errorf("an error with %v of %d", got, size)
		case err == nil && got != all && (got.from < 0 || got.length() < 1 && got.to != 1<<63-1 || size >= 0 && got.to >= size):
			t.Errorf("%q is %v of %d", text, got, size)
		}
	})
}

func TestAVersionIsHeldByWhatProvesIt(t *testing.T) {
	const then, soon, later = "Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:06 GMT"
	tests := map[string]struct {
		etag, modified, date string
		match, ifRange       http.Header
	}{
		"nothing":              {"", "", later, http.Header{}, http.Header{"Range": {"r"}}},
		"a strong tag":         {`"v"`, then, later, http.Header{"If-Match": {`"v"`}}, http.Header{"Range": {"r"}, "If-Range": {`"v"`}}},
		"a weak tag and date":  {`W/"v"`, then, later, http.Header{"If-Unmodified-Since": {then}}, http.Header{"Range": {"r"}, "If-Range": {then}}},
		"a date too fresh":     {"", then, soon, http.Header{}, http.Header{"Range": {"r"}}},
		"a date without a now": {"", then, "", http.Header{}, http.Header{"Range": {"r"}}},
		"a date of nonsense":   {"", "today", later, http.Header{}, http.Header{"Range": {"r"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := markOf(&http.Response{Header: http.Header{"Etag": {test.etag}, "Last-Modified": {test.modified}, "Date": {test.date}}})
			match, ifRange := http.Header{}, http.Header{"Range": {"r"}}
			m.ifMatch(match)
			m.ifRange(ifRange)
			if diff := cmp.Diff([]http.Header{test.match, test.ifRange}, []http.Header{match, ifRange}); diff != "" {
				t.Error(diff)
			}
			whole := http.Header{}
			if m.ifRange(whole); len(whole) > 0 {
				t.Errorf("without a range: %v", whole)
			}
		})
	}
}

func TestMarksDiffer(t *testing.T) {
	for name, test := range map[string]struct {
		a, b mark
		want bool
	}{
		"same tag":           {mark{`"a"`, "x"}, mark{`"a"`, "y"}, false},
		"other tag":          {mark{`"a"`, "x"}, mark{`"b"`, "x"}, true},
		"a tag and none":     {mark{`"a"`, "x"}, mark{"", "x"}, false},
		"other date, no tag": {mark{"", "x"}, mark{`"a"`, "y"}, true},
		"nothing":            {mark{}, mark{`"a"`, "y"}, false},
	} {
		if got := test.a.differs(test.b); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTheMoreHopefulTroubleDecides(t *testing.T) {
	gone, never := &Error{Kind: NotFound}, &Error{Kind: Unsupported}
	busy, busier := &Error{Kind: Network, retryAfter: time.Second}, &Error{Kind: Network, retryAfter: time.Minute}
	for _, test := range []struct{ a, b, want *Error }{
		{nil, never, never},
		{never, gone, gone},
		{gone, never, gone},
		{gone, busy, busy},
		{busy, gone, busy},
		{busier, busy, busy},
		{busy, busier, busy},
		{never, busy, busy},
	} {
		if got := hopeful(test.a, test.b); got != test.want {
			t.Errorf("of %v and %v: %v", test.a, test.b, got)
		}
	}
}

func TestErrorsOfOthersAreFitToPrint(t *testing.T) {
	long := strings.Repeat("ü", 300)
	for text, want := range map[string]string{
		"get https://u:p@h/x?sig=s failed": "get https://redacted@h/x?redacted failed",
		"parse \"http://h/?a=b\": bad\n":   "parse \"http://h/?redacted bad",
		"a\x1b[31mb":                       "a [31mb",
		long:                               strings.Repeat("ü", 150),
	} {
		if got := scrub(errString(text)).Error(); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

type errString string

func (e errString) Error() string { return string(e) }

func TestEveryKindHasAdvice(t *testing.T) {
	for _, k := range []Kind{NotFound, Denied, Refused, Network, TLS, Redirect, Digest, Changed, Unsupported, Deadline, Interrupted} {
		if k.hint() == "" {
			t.Errorf("%s has none", k)
		}
	}
}
