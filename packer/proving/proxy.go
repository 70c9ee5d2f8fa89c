package proving

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// proxyEnv tells modules of the proxy. apt, dnf, curl and Go read it.
func proxyEnv() map[string]string {
	return map[string]string{
		"http_proxy": "http://" + proxyAddress, "https_proxy": "http://" + proxyAddress, "no_proxy": "localhost,127.0.0.1,::1",
	}
}

// proxy is a forward proxy for http and https. It keeps packages, which never
// change, in a folder.
type proxy struct {
	plain  http.Handler
	dialer *net.Dialer
}

func newProxy(folder string) *proxy {
	dialer := &net.Dialer{Timeout: 20 * time.Second, Control: refuseNear}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = dialer.DialContext
	transport.DisableCompression = true
	return &proxy{
		dialer: dialer,
		plain: &httputil.ReverseProxy{
			Rewrite:   func(*httputil.ProxyRequest) {},
			Transport: &keeper{folder: folder, next: transport},
			ErrorLog:  log.New(io.Discard, "", 0), // the client sees what is cut off
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			},
		},
	}
}

// refuseNear keeps the machine from this machine's loopback, and from metadata
// services, which have link-local addresses.
func refuseNear(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := to.Addr().Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || ip == netip.MustParseAddr("fd00:ec2::254") {
		return fmt.Errorf("%s is out of a test machine's reach", ip)
	}
	return nil
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	case r.URL.Scheme != "http" || r.URL.Host == "":
		http.Error(w, "this is a proxy", http.StatusBadRequest)
	default:
		p.plain.ServeHTTP(w, r)
	}
}

// tunnel connects both ends of a CONNECT, until one of them closes.
func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	far, err := p.dialer.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	copyTo := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go copyTo(far, buffered)
	go copyTo(near, far)
	<-done
}

// keeper answers from its folder what it has there, and keeps what it may.
type keeper struct {
	folder string
	next   http.RoundTripper
}

// keeps reports whether a URL's content never changes: a package's name holds
// its version, an index by hash its digest.
func keeps(r *http.Request) bool {
	path := r.URL.Path
	return r.Method == http.MethodGet && (strings.HasSuffix(path, ".deb") || strings.HasSuffix(path, ".rpm") || strings.Contains(path, "/by-hash/"))
}

// RoundTrip is that of [http.RoundTripper].
func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	if !keeps(r) {
		return k.next.RoundTrip(r)
	}
	sum := sha256.Sum256([]byte(r.URL.String()))
	file := filepath.Join(k.folder, hex.EncodeToString(sum[:]))
	if f, err := os.Open(file); err == nil {
		info, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return &http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{}, ContentLength: info.Size(), Body: f,
		}, nil
	}
	r = r.Clone(r.Context())
	for _, name := range []string{"Range", "If-Range", "If-Modified-Since"} {
		r.Header.Del(name) // all of it is wanted here
	}
	answer, err := k.next.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK || answer.ContentLength < 0 {
		return answer, err
	}
	if err := os.MkdirAll(k.folder, 0o755); err != nil {
		return nil, errors.Join(err, answer.Body.Close())
	}
	part, err := os.CreateTemp(k.folder, ".part-")
	if err != nil {
		return nil, errors.Join(err, answer.Body.Close())
	}
	answer.Body = &keeping{body: answer.Body, part: part, left: answer.ContentLength, file: file}
	return answer, nil
}

// keeping is a body that is written to a file as it is read. The file gets its
// name when all of it was read.
type keeping struct {
	body io.ReadCloser
	part *os.File
	left int64
	file string
	err  error // of the file: the reader does not suffer from it
}

func (k *keeping) Read(p []byte) (int, error) {
	n, err := k.body.Read(p)
	if k.err == nil {
		_, k.err = k.part.Write(p[:n])
	}
	k.left -= int64(n)
	return n, err
}

func (k *keeping) Close() error {
	err := errors.Join(k.err, k.part.Close())
	if err == nil && k.left == 0 {
		err = os.Rename(k.part.Name(), k.file)
	} else {
		_ = os.Remove(k.part.Name())
	}
	return errors.Join(err, k.body.Close())
}
