// Package imdstest is a stand-in for EC2 instance metadata, version 2 only,
// for rehearsals and tests.
//
// Like the real service it answers nothing without a token: a PUT of
// /latest/api/token with a lifetime gives one, every GET needs it. Unlike the
// real service it can misbehave on schedule: see [Fault].
package imdstest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tokenPath   = "/latest/api/token"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTTL      = 21600 // seconds; the service's own limit
	rolePath    = "/latest/meta-data/iam/security-credentials/"
	tagsPath    = "/latest/meta-data/tags/instance"
)

// Instance is what the metadata tells. An empty field is answered 404, and
// left out of the identity document.
type Instance struct {
	ID               string // such as "i-0123456789abcdef0"
	Type             string // such as "t3.micro"
	Region           string
	AvailabilityZone string
	Account          string // 12 digits
	Image            string // such as "ami-0123456789abcdef0"
	Architecture     string // "x86_64" or "arm64"

	// Userdata as the instance sees it: the bytes after EC2's own base64. Nil
	// means none: the service answers 404.
	Userdata []byte

	// Role is the name of the instance's role; empty where it has none.
	Role        string
	Credentials Credentials

	// Tags are the instance's, by name. Nil means that tags are not in the
	// metadata, as EC2 has it unless told otherwise.
	Tags map[string]string
}

// Credentials are those of the instance's role.
type Credentials struct {
	AccessKeyID, SecretAccessKey, Token string
	Expiration                          time.Time // zero means in six hours
}

// Sample returns an instance with every field but Userdata and Role. Its
// account and image are those of AWS's documentation examples.
func Sample() Instance {
	return Instance{
		ID: "i-0123456789abcdef0", Type: "t3.micro", Region: "eu-central-1", AvailabilityZone: "eu-central-1a",
		Account: "123456789012", Image: "ami-0b69ea66ff7391e80", Architecture: "x86_64",
	}
}

// handler serves one instance.
type handler struct {
	instance Instance
	faults   []Fault

	mu     sync.Mutex
	tokens map[string]time.Time // to expiry
	began  time.Time            // of the first request
}

// Handler returns a handler that serves the metadata of instance, and before
// that the faults in their order. It is safe for concurrent use.
func Handler(instance Instance, faults ...Fault) http.Handler {
	return &handler{instance: instance, faults: slices.Clone(faults), tokens: map[string]time.Time{}}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fault := h.fault(r); fault != nil {
		fault.Do(w, r, http.HandlerFunc(h.serve))
		return
	}
	h.serve(w, r)
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == tokenPath && r.Method == http.MethodPut:
		h.token(w, r)
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case !h.authorized(r.Header.Get(tokenHeader)):
		w.WriteHeader(http.StatusUnauthorized)
	default:
		h.get(w, r.URL.Path)
	}
}

// token gives out a token, as real ones: not to a request that was forwarded,
// and only for a lifetime of 1 second to 6 hours.
func (h *handler) token(w http.ResponseWriter, r *http.Request) {
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	switch {
	case r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(http.StatusForbidden)
		return
	case err != nil || ttl < 1 || ttl > maxTTL:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	token := rand.Text()
	h.mu.Lock()
	h.tokens[token] = time.Now().Add(time.Duration(ttl) * time.Second)
	h.mu.Unlock()
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	_, _ = io.WriteString(w, token)
}

func (h *handler) authorized(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	expires, known := h.tokens[token]
	return known && time.Now().Before(expires)
}

func (h *handler) get(w http.ResponseWriter, path string) {
	body, contentType := h.body(path)
	if body == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// body returns nil for what there is not.
func (h *handler) body(path string) (body []byte, contentType string) {
	in := h.instance
	text := func(s string) ([]byte, string) {
		if s == "" {
			return nil, ""
		}
		return []byte(s), "text/plain"
	}
	switch strings.TrimPrefix(path, "/latest") {
	case "/user-data":
		return in.Userdata, "application/octet-stream"
	case "/meta-data/instance-id":
		return text(in.ID)
	case "/meta-data/instance-type":
		return text(in.Type)
	case "/meta-data/ami-id":
		return text(in.Image)
	case "/meta-data/placement/region":
		return text(in.Region)
	case "/meta-data/placement/availability-zone":
		return text(in.AvailabilityZone)
	case "/dynamic/instance-identity/document":
		return h.document()
	case strings.TrimPrefix(rolePath, "/latest"), "/meta-data/iam/security-credentials":
		return text(in.Role)
	}
	if in.Role != "" && path == rolePath+in.Role {
		return h.credentials()
	}
	if name, ok := strings.CutPrefix(path, tagsPath); ok && in.Tags != nil {
		return h.tags(strings.TrimPrefix(name, "/"))
	}
	return nil, ""
}

// tags returns the value of one tag, or without a name the names of all.
func (h *handler) tags(name string) (body []byte, contentType string) {
	if name == "" {
		return []byte(strings.Join(slices.Sorted(maps.Keys(h.instance.Tags)), "\n")), "text/plain"
	}
	if value, ok := h.instance.Tags[name]; ok {
		return []byte(value), "text/plain"
	}
	return nil, ""
}

func (h *handler) document() (body []byte, contentType string) {
	fields := map[string]string{}
	for name, value := range map[string]string{
		"instanceId": h.instance.ID, "instanceType": h.instance.Type, "region": h.instance.Region,
		"availabilityZone": h.instance.AvailabilityZone, "accountId": h.instance.Account,
		"imageId": h.instance.Image, "architecture": h.instance.Architecture,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	if len(fields) == 0 {
		return nil, ""
	}
	body, _ = json.MarshalIndent(fields, "", "  ")
	return body, "text/plain"
}

func (h *handler) credentials() (body []byte, contentType string) {
	c := h.instance.Credentials
	if c.Expiration.IsZero() {
		c.Expiration = time.Now().Add(6 * time.Hour)
	}
	body, _ = json.MarshalIndent(map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": time.Now().UTC().Format(time.RFC3339),
		"AccessKeyId": c.AccessKeyID, "SecretAccessKey": c.SecretAccessKey, "Token": c.Token,
		"Expiration": c.Expiration.UTC().Format(time.RFC3339),
	}, "", "  ")
	return body, "text/plain"
}
