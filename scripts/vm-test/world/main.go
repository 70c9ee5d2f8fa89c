// Command world is the server of the power-cut test: it serves a bundle, which it can
// hold back half-way, and writes down what modules tell it, so that what a machine
// loses by a power cut is not lost to the test.
//
//	GET  /NAME       a file of the folder; while FOLDER/hold is there, only its half
//	GET  /gate       answers once FOLDER/open is there
//	POST /event/X    appends X to FOLDER/events
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const poll = 50 * time.Millisecond

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: world ADDRESS FOLDER")
		os.Exit(2) //nolint:forbidigo // this is main
	}
	w := &world{dir: os.Args[2]}
	s := &http.Server{Addr: os.Args[1], Handler: w, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1) //nolint:forbidigo // this is main
}

type world struct {
	dir  string
	mu   sync.Mutex
	sent atomic.Int64 // of files, since they were last held back
}

func (w *world) there(name string) bool {
	_, err := os.Stat(filepath.Join(w.dir, name))
	return err == nil
}

func (w *world) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	name := filepath.Base(r.URL.Path)
	switch {
	case r.Method == http.MethodPost:
		w.event(name)
	case name == "gate":
		for !w.there("open") && wait(r) {
		}
	default:
		w.file(answer, r, name)
	}
}

// event appends a line to what has happened.
func (w *world) event(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(w.dir, "events"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		fmt.Fprintln(f, name)
		_ = f.Close()
	}
}

// file serves a file, and stops for good at half of its bytes where it is held back.
func (w *world) file(answer http.ResponseWriter, r *http.Request, name string) {
	f, err := os.Open(filepath.Join(w.dir, name))
	if err != nil {
		http.NotFound(answer, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		http.NotFound(answer, r)
		return
	}
	answer.Header().Set("ETag", `"of-the-test"`)
	var body io.ReadSeeker = f
	if w.there("hold") {
		body = &held{f, w, r, info.Size() / 2}
	}
	http.ServeContent(answer, r, "", info.ModTime(), body)
}

// held is a file of which all requests together get half. It shows no more of the
// file than these two methods: the server would send the file itself.
type held struct {
	io.ReadSeeker
	w    *world
	r    *http.Request
	most int64
}

// Read waits for the end of the request once enough was read.
func (h *held) Read(p []byte) (int, error) {
	if h.w.sent.Load() >= h.most {
		h.w.event("held")
		for h.w.there("hold") && wait(h.r) {
		}
		return 0, io.ErrUnexpectedEOF
	}
	n, err := h.ReadSeeker.Read(p[:min(len(p), 64<<10)])
	h.w.sent.Add(int64(n))
	return n, err
}

// wait waits a little, unless the client has gone.
func wait(r *http.Request) bool {
	select {
	case <-r.Context().Done():
		return false
	case <-time.After(poll):
		return true
	}
}
