package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"startup-bundle/agent/fetch"
)

// bringIn fetches r as the agent does: what Next returns is opened until it succeeds or
// nothing is left.
func bringIn(ctx context.Context, n *network, r fetch.Request) (data []byte, err error) {
	for again := true; again; {
		if data, _, err = fetchAll(ctx, n, r); err == nil {
			return data, nil
		}
		r, again = r.Next(err)
	}
	return nil, err
}

// meter counts what a server is asked for and what it sends.
type meter struct {
	http.Handler

	requests, bytes atomic.Int64
}

func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.requests.Add(1)
	m.Handler.ServeHTTP(&metered{w, m}, r)
}

type metered struct {
	http.ResponseWriter

	meter *meter
}

func (m *metered) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.meter.bytes.Add(int64(n))
	return n, err
}

func (m *metered) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// turns lets each request go to the next of some servers behind one name.
func turns(servers ...http.HandlerFunc) http.HandlerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		servers[int(count.Add(1)-1)%len(servers)](w, r)
	}
}

// of serves data under an ETag (empty: none) and a date, as Go's file server does.
func of(data []byte, etag string, day int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var modified time.Time
		if day > 0 {
			modified = time.Date(1999, 1, day, 0, 0, 0, 0, time.UTC)
		}
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", modified, bytes.NewReader(data))
	}
}

// deaf keeps names of the request's header from handler.
func deaf(handler http.HandlerFunc, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			r.Header.Del(name)
		}
		handler(w, r)
	}
}

// except answers with code where the request has one of the headers.
func except(handler http.HandlerFunc, code int, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, name := range names {
			if r.Header.Get(name) != "" {
				w.WriteHeader(code)
				return
			}
		}
		handler(w, r)
	}
}

// afterFirst serves the first request from first, and the ranges of all others from rest.
func afterFirst(first, rest http.HandlerFunc) http.HandlerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1) > 1 && r.Header.Get("Range") != "" {
			rest(w, r)
			return
		}
		first(w, r)
	}
}

// contradictory is every kind of server whose ranges do not belong together, although
// a plain GET brings a whole file. It is a new server at each call.
func contradictory(data, other []byte) map[string]http.HandlerFunc {
	conditions := []string{"If-Match", "If-Unmodified-Since"}
	rewrite := func(header, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set(header, value)
			of(data, `"v1"`, 1)(w, r)
		}
	}
	total := func(w http.ResponseWriter, r *http.Request) { // the size in Content-Range is another
		of(data, `"v1"`, 1)(&retold{w, func(h http.Header) {
			if at := strings.IndexByte(h.Get("Content-Range"), '/'); at > 0 {
				h.Set("Content-Range", h.Get("Content-Range")[:at]+"/"+strconv.Itoa(len(data)+1))
			}
		}}, r)
	}
	broken := func(rest http.HandlerFunc) http.HandlerFunc { // one body that breaks off, then ranges from rest
		var count atomic.Int64
		return func(w http.ResponseWriter, r *http.Request) {
			switch {
			case count.Add(1) == 1:
				cut(noRanges(of(data, `"v1"`, 1)), len(data)/2)(w, r)
			case r.Header.Get("Range") != "":
				rest(w, r)
			default:
				of(data, `"v1"`, 1)(w, r)
			}
		}
	}
	flip := bytes.Clone(data)
	flip[len(flip)/2] ^= 1
	return map[string]http.HandlerFunc{
		"an ETag for each server":          turns(of(data, `"a"`, 0), of(data, `"b"`, 0), of(data, `"c"`, 0)),
		"an ETag and date for each server": turns(of(data, `"a"`, 1), of(data, `"b"`, 2)),
		"a date for each server":           turns(of(data, "", 1), of(data, "", 2)),
		"weak ETags and dates":             turns(of(data, `W/"a"`, 1), of(data, `W/"b"`, 2)),
		"weak ETags alone":                 turns(of(data, `W/"a"`, 0), of(data, `W/"b"`, 0)),
		"an ETag now and then":             turns(of(data, `"a"`, 0), of(data, "", 0)),
		"an ETag, then a date":             turns(of(data, `"a"`, 0), of(data, "", 1), of(data, "", 2)),
		"412 to every condition":           except(of(data, `"a"`, 1), http.StatusPreconditionFailed, conditions...),
		"412 to every range":               except(of(data, `"a"`, 1), http.StatusPreconditionFailed, "Range"),
		"400 to every range":               except(of(data, `"a"`, 1), http.StatusBadRequest, "Range"),
		"416 to every range":               except(of(data, `"a"`, 1), http.StatusRequestedRangeNotSatisfiable, "Range"),
		"501 to every range":               except(of(data, `"a"`, 1), http.StatusNotImplemented, "Range"),
		"412 to later ranges":              afterFirst(of(data, `"a"`, 1), status(http.StatusPreconditionFailed)),
		"400 to later ranges":              afterFirst(of(data, `"a"`, 1), status(http.StatusBadRequest)),
		"206 under another ETag":           turns(deaf(of(data, `"a"`, 1), conditions...), deaf(of(data, `"b"`, 1), conditions...)),
		"206 under another date":           turns(deaf(of(data, "", 1), conditions...), deaf(of(data, "", 2), conditions...)),
		"a size for each answer":           turns(of(data, `"v1"`, 1), total),
		"another size in later ranges":     afterFirst(of(data, `"v1"`, 1), total),
		"wrong ranges after the first":     afterFirst(of(data, `"v1"`, 1), rewrite("Range", "bytes=5-10")),
		"ranges of no form":                afterFirst(of(data, `"v1"`, 1), status(http.StatusPartialContent, "Content-Range", "bytes what/ever")),
		"parts of many ranges":             afterFirst(of(data, `"v1"`, 1), rewrite("Range", "bytes=0-1,5-6")),
		"wrong ranges after a break":       broken(rewrite("Range", "bytes=5-10")),
		"412 to ranges after a break":      broken(status(http.StatusPreconditionFailed)),
		"400 to ranges after a break":      broken(status(http.StatusBadRequest)),
		"416 to ranges after a break":      broken(status(http.StatusRequestedRangeNotSatisfiable)),
		"another ETag after a break":       broken(deaf(of(data, `"b"`, 2), append(conditions, "If-Range")...)),
		"two files of one size":            turns(of(data, `"a"`, 1), of(other, `"b"`, 2)),
		"two files of one ETag":            turns(of(data, `"a"`, 1), of(other, `"a"`, 1)),
		"two files and no mark":            turns(of(data, "", 0), of(other, "", 0)),
		"two files of two sizes":           turns(of(data, `"a"`, 1), of(other[:len(other)-1], `"b"`, 2)),
		"ranges of a damaged copy":         afterFirst(of(data, `"v1"`, 1), of(flip, `"v1"`, 1)),
	}
}

// retold changes an answer's header before it is sent.
type retold struct {
	http.ResponseWriter

	change func(http.Header)
}

func (r *retold) WriteHeader(code int) {
	r.change(r.Header())
	r.ResponseWriter.WriteHeader(code)
}

// Whatever the validators and ranges say, a file that one plain GET brings arrives, with
// few requests and no more than three times its bytes.
func TestRangesThatContradictEachOtherAreNoLoop(t *testing.T) {
	for _, size := range []int{100_000, 3 << 20} {
		data, other := payload(size), payload(size + 1)[1:]
		for name := range contradictory(data, other) {
			for _, pinned := range []bool{true, false} {
				for _, mirrors := range []int{1, 2} {
					t.Run(fmt.Sprintf("%s, %d bytes, pinned %t, %d mirrors", name, size, pinned, mirrors), func(t *testing.T) {
						bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
							bad, good := &meter{Handler: contradictory(data, other)[name]}, &meter{Handler: object(data)}
							n := newNetwork(t, map[string]http.Handler{"mirror.example": bad, "good.example": good})
							r := fetch.Request{URLs: []string{mirrorURL, "http://good.example/web.bundle"}[:mirrors]}
							if pinned {
								r.SHA256 = digest(data)
							}
							got, err := bringIn(ctx, n, r)
							wrong := pinned || !bytes.Equal(got, other) && !bytes.Equal(got, other[:len(other)-1])
							if strings.Contains(name, "ETag now and then") || strings.Contains(name, "no mark") || strings.Contains(name, "of one ETag") || strings.Contains(name, "damaged") {
								wrong = pinned || len(got) != size // what says nothing about its version is the bundle's own to check
							}
							if err != nil || !bytes.Equal(got, data) && wrong {
								t.Fatalf("got %d bytes: %v", len(got), err)
							}
							requests, sent := bad.requests.Load()+good.requests.Load(), bad.bytes.Load()+good.bytes.Load()
							if requests > 60 || sent > int64(3*size)+1<<20 {
								t.Errorf("%d requests, %d bytes for a file of %d", requests, sent, size)
							}
						})
					})
				}
			}
		}
	}
}

// The pinned digest alone decides: no condition is sent, and nothing is fetched twice.
func TestAPinnedFilesValidatorsDoNotMatter(t *testing.T) {
	data := payload(6 << 20)
	for _, name := range []string{"an ETag for each server", "an ETag and date for each server", "a date for each server", "weak ETags alone", "412 to every condition", "206 under another ETag"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
				server := &meter{Handler: contradictory(data, data)[name]}
				_, _, err := fetchAll(ctx, newNetwork(t, one(server)), fetch.Request{URLs: []string{mirrorURL}, SHA256: digest(data)})
				if err != nil || server.bytes.Load() != int64(len(data)) || server.requests.Load() != 5 {
					t.Errorf("%d requests, %d bytes: %v", server.requests.Load(), server.bytes.Load(), err)
				}
			})
		})
	}
}

// A wrong file is given the time that a missing one is: whoever serves it may be about
// to put the right one there.
func TestAWrongFileIsWaitedOutLikeAMissingOne(t *testing.T) {
	data := payload(5 << 20)
	flipped := bytes.Clone(data)
	flipped[3<<20] ^= 4
	page := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>please log in</html>") }
	for name, wrong := range map[string]http.HandlerFunc{
		"a page": page, "one bit": object(flipped), "its beginning": object(data[:1<<20]), "nothing": object(nil),
		"more than it": object(append(bytes.Clone(data), 0)),
	} {
		t.Run(name+" for a while", func(t *testing.T) {
			bubble(t, time.Minute, func(t *testing.T, ctx context.Context) {
				began := time.Now()
				n := newNetwork(t, one(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if time.Since(began) < 10*time.Second {
						wrong(w, r)
						return
					}
					object(data)(w, r)
				})))
				got, err := bringIn(ctx, n, fetch.Request{URLs: []string{mirrorURL}, SHA256: digest(data)})
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes: %v", len(got), err)
				}
			})
		})
		for _, mirrors := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s for ever, %d mirrors", name, mirrors), func(t *testing.T) {
				bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
					began := time.Now()
					server := &meter{Handler: wrong}
					n := newNetwork(t, map[string]http.Handler{"mirror.example": server, "b.example": server})
					_, err := bringIn(ctx, n, fetch.Request{URLs: []string{mirrorURL, "http://b.example/"}[:mirrors], SHA256: digest(data)})
					var e *fetch.Error
					if !errors.As(err, &e) || e.Kind != fetch.Digest {
						t.Errorf("got %v", err)
					}
					if took := time.Since(began); took < 30*time.Second || took > 75*time.Second {
						t.Errorf("given up after %v", took)
					}
					if server.requests.Load() > 60*int64(mirrors) {
						t.Errorf("%d requests", server.requests.Load())
					}
				})
			})
		}
	}
}

// A mirror whose file is wrong is tried again while another one is away, and left out
// after its time; the one that is away is waited for.
func TestAWrongMirrorBesideOneThatIsAway(t *testing.T) {
	data := payload(100_000)
	bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
		began := time.Now()
		n := newNetwork(t, map[string]http.Handler{
			"wrong.example": object(data[1:]),
			"away.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if time.Since(began) < 3*time.Minute {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				object(data)(w, r)
			}),
		})
		r := fetch.Request{URLs: []string{"http://wrong.example/", "http://away.example/"}, SHA256: digest(data)}
		got, err := bringIn(ctx, n, r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v", len(got), err)
		}
	})
}

// What its reader finds wrong is the mirror's fault as much as a wrong digest.
func TestAFileThatItsReaderFindsWrong(t *testing.T) {
	errBad := errors.New("not a bundle")
	const a, b = "http://a.example/", "http://b.example/"
	for name, test := range map[string]struct {
		urls  []string
		again bool
		tries int // of at most 100
	}{
		"one, for good":        {[]string{a}, false, 1},
		"two, for good":        {[]string{a, b}, false, 2},
		"one, for a while":     {[]string{a}, true, 0},
		"two, for a while":     {[]string{a, b}, true, 0},
		"the same one, thrice": {[]string{a, a, a}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10*time.Minute, func(t *testing.T, ctx context.Context) {
				n := newNetwork(t, map[string]http.Handler{"a.example": object(payload(10)), "b.example": object(payload(10))})
				c := fetch.New(fetch.Config{Logger: zap.NewNop(), Transport: n.transport})
				r, began, tries, more := fetch.Request{URLs: test.urls}, time.Now(), 0, true
				for more && tries < 100 {
					s, err := c.Open(ctx, r)
					if err != nil {
						t.Fatal(err)
					}
					_ = s.Close()
					r, more = r.Next(fmt.Errorf("open: %w", s.Wrong(errBad, test.again)))
					tries++
				}
				took := time.Since(began)
				if test.tries > 0 && (tries != test.tries || took != 0) {
					t.Errorf("%d tries in %v", tries, took)
				}
				if test.tries == 0 && (took < 30*time.Second || took > 75*time.Second || tries > 40) {
					t.Errorf("%d tries in %v", tries, took)
				}
			})
		})
	}
}
