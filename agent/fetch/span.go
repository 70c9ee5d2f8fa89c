package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is a range of bytes, both ends included; to -1: up to the end.
type span struct{ from, to int64 }

// all is the whole file, asked for without a range.
var all = span{-1, -1} //nolint:gochecknoglobals // a constant

// header returns s for a Range header.
func (s span) header() string {
	if s.to < 0 {
		return fmt.Sprintf("bytes=%d-", s.from)
	}
	return fmt.Sprintf("bytes=%d-%d", s.from, s.to)
}

// length returns how many bytes s holds.
func (s span) length() int64 { return s.to - s.from + 1 }

var errContentRange = errors.New("the server's Content-Range cannot be read")

// contentRange reads a Content-Range header (RFC 9110 section 14.4): the range and
// the size of the whole. A "*" for either comes as -1.
func contentRange(text string) (s span, size int64, err error) {
	none := span{-1, -1}
	text, ok := strings.CutPrefix(text, "bytes ")
	part, total, slash := strings.Cut(text, "/")
	if !ok || !slash {
		return none, -1, errContentRange
	}
	size, s = -1, none
	if total != "*" {
		if size, err = number(total); err != nil {
			return none, -1, err
		}
	}
	if part == "*" {
		return s, size, nil
	}
	from, to, dash := strings.Cut(part, "-")
	if !dash {
		return none, -1, errContentRange
	}
	if s.from, err = number(from); err == nil {
		s.to, err = number(to)
	}
	if err != nil || s.from > s.to || (size >= 0 && s.to >= size) {
		return none, -1, errContentRange
	}
	return s, size, nil
}

// number reads digits and nothing else.
func number(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, errContentRange
	}
	return int64(n), nil
}

// mark is what tells one version of a file from the next. Empty parts say nothing.
type mark struct{ etag, modified string }

// markOf returns what resp says about its version. A weak ETag is no promise about
// bytes, and a date only is one a second after it (RFC 9110 section 8.8.2.2).
func markOf(resp *http.Response) mark {
	var m mark
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		m.etag = tag
	}
	modified := resp.Header.Get("Last-Modified")
	then, err := http.ParseTime(modified)
	if err != nil {
		return m
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err == nil && now.Sub(then) >= time.Second {
		m.modified = modified
	}
	return m
}

// proves reports whether the server can be held to one version.
func (m mark) proves() bool { return m != mark{} }

// differs reports whether both are known and not the same version.
func (m mark) differs(other mark) bool {
	if m.etag != "" && other.etag != "" {
		return m.etag != other.etag
	}
	return m.modified != "" && other.modified != "" && m.modified != other.modified
}

// ifRange asks for the rest of this version, or for the whole of another.
func (m mark) ifRange(h http.Header) {
	if h.Get("Range") == "" || !m.proves() {
		return
	}
	if m.etag != "" {
		h.Set("If-Range", m.etag)
		return
	}
	h.Set("If-Range", m.modified)
}

// ifMatch asks for this version or nothing.
func (m mark) ifMatch(h http.Header) {
	switch {
	case m.etag != "":
		h.Set("If-Match", m.etag)
	case m.modified != "":
		h.Set("If-Unmodified-Since", m.modified)
	}
}

// limited is a body of which no more than n bytes belong to the answer.
type limited struct {
	io.Reader
	io.Closer
}

func limit(body io.ReadCloser, n int64) io.ReadCloser {
	return limited{io.LimitReader(body, n), body}
}
