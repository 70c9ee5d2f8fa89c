package imdstest

import (
	"net/http"
	"strconv"
	"time"
)

// Fault is one way to misbehave, for a while. Of a list of faults the first
// that still lasts answers a request; once none does, the metadata is served.
type Fault struct {
	// Requests is for how many requests the fault lasts, counted from the
	// first that reaches it. Zero means no limit by number.
	Requests int

	// For is how long it lasts, from the first request to the server. Zero
	// means no limit by time. With both, the earlier ends it; with neither, it
	// lasts for ever.
	For time.Duration

	// Path limits it to requests whose URL has exactly this path. Empty means
	// every request.
	Path string

	// Do answers in place of the metadata, which is next.
	Do func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// fault returns the fault that answers r, nil if none does.
func (h *handler) fault(r *http.Request) *Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began.IsZero() {
		h.began = time.Now()
	}
	for i := range h.faults {
		f := &h.faults[i]
		if f.Path != "" && f.Path != r.URL.Path || f.For > 0 && time.Since(h.began) >= f.For || f.Requests < 0 {
			continue
		}
		if f.Requests > 0 {
			if f.Requests--; f.Requests == 0 {
				f.Requests = -1 // spent
			}
		}
		return f
	}
	return nil
}

// Status answers with code and no body.
func Status(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(code) }
}

// TokenStatus answers requests for a token with code, and serves others. With
// 403 it is an instance whose metadata was turned off.
func TokenStatus(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == tokenPath {
			w.WriteHeader(code)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// Reset cuts the connection without an answer.
func Reset(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Half promises the whole answer and cuts the connection after half of it.
func Half(w http.ResponseWriter, r *http.Request, next http.Handler) {
	whole := recorder{header: w.Header(), status: http.StatusOK}
	next.ServeHTTP(&whole, r)
	w.Header().Set("Content-Length", strconv.Itoa(len(whole.body)+1)) // never kept, even for one byte
	w.WriteHeader(whole.status)
	_, _ = w.Write(whole.body[:len(whole.body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// Stall accepts the request and answers nothing until the client goes away.
func Stall(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// Body answers 200 with text, for every path but the token's.
func Body(text string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == tokenPath {
			next.ServeHTTP(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	}
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header    { return r.header }
func (r *recorder) WriteHeader(status int) { r.status = status }
func (r *recorder) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}
