package imdstest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"startup-bundle/internal/imdstest"
)

const ttl = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"

// answer asks h, with a fresh token where method is GET and token is true.
func answer(t *testing.T, h http.Handler, method, path string, token bool, header ...string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if token {
		_, got := answer(t, h, http.MethodPut, "/latest/api/token", false, ttl, "60")
		r.Header.Set("X-Aws-Ec2-Metadata-Token", got)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestHandler(t *testing.T) {
	in := imdstest.Sample()
	in.Userdata = []byte("\x1f\x8bdata")
	in.Role, in.Credentials = "web", imdstest.Credentials{AccessKeyID: "ID", SecretAccessKey: "secret", Token: "token"}
	full := imdstest.Handler(in)
	in.Tags = map[string]string{"Name": "web", "aws:autoscaling:groupName": "group", "empty": ""}
	tagged := imdstest.Handler(in)
	bare := imdstest.Handler(imdstest.Instance{})
	tests := map[string]struct {
		handler      http.Handler
		method, path string
		token        bool
		header       []string
		status       int
		holds        string
	}{
		"token":                      {full, "PUT", "/latest/api/token", false, []string{ttl, "21600"}, 200, ""},
		"token without lifetime":     {full, "PUT", "/latest/api/token", false, nil, 400, ""},
		"token of no lifetime":       {full, "PUT", "/latest/api/token", false, []string{ttl, "0"}, 400, ""},
		"token for too long":         {full, "PUT", "/latest/api/token", false, []string{ttl, "21601"}, 400, ""},
		"token through a proxy":      {full, "PUT", "/latest/api/token", false, []string{ttl, "60", "X-Forwarded-For", "10.0.0.1"}, 403, ""},
		"token by GET":               {full, "GET", "/latest/api/token", true, nil, 404, ""},
		"nothing without a token":    {full, "GET", "/latest/user-data", false, nil, 401, ""},
		"nothing with a false token": {full, "GET", "/latest/user-data", false, []string{"X-Aws-Ec2-Metadata-Token", "x"}, 401, ""},
		"no POST":                    {full, "POST", "/latest/user-data", true, nil, 405, ""},
		"userdata":                   {full, "GET", "/latest/user-data", true, nil, 200, "\x1f\x8bdata"},
		"instance id":                {full, "GET", "/latest/meta-data/instance-id", true, nil, 200, in.ID},
		"instance type":              {full, "GET", "/latest/meta-data/instance-type", true, nil, 200, in.Type},
		"image":                      {full, "GET", "/latest/meta-data/ami-id", true, nil, 200, in.Image},
		"region":                     {full, "GET", "/latest/meta-data/placement/region", true, nil, 200, in.Region},
		"zone":                       {full, "GET", "/latest/meta-data/placement/availability-zone", true, nil, 200, in.AvailabilityZone},
		"document":                   {full, "GET", "/latest/dynamic/instance-identity/document", true, nil, 200, `"accountId": "123456789012"`},
		"role":                       {full, "GET", "/latest/meta-data/iam/security-credentials/", true, nil, 200, "web"},
		"credentials":                {full, "GET", "/latest/meta-data/iam/security-credentials/web", true, nil, 200, `"SecretAccessKey": "secret"`},
		"another role":               {full, "GET", "/latest/meta-data/iam/security-credentials/db", true, nil, 404, ""},
		"unknown path":               {full, "GET", "/latest/meta-data/", true, nil, 404, ""},
		"a tag":                      {tagged, "GET", "/latest/meta-data/tags/instance/aws:autoscaling:groupName", true, nil, 200, "group"},
		"an empty tag":               {tagged, "GET", "/latest/meta-data/tags/instance/empty", true, nil, 200, ""},
		"another tag":                {tagged, "GET", "/latest/meta-data/tags/instance/other", true, nil, 404, ""},
		"the names of tags":          {tagged, "GET", "/latest/meta-data/tags/instance", true, nil, 200, "Name\naws:autoscaling:groupName\nempty"},
		"tags turned off":            {full, "GET", "/latest/meta-data/tags/instance", true, nil, 404, ""},
		"no userdata":                {bare, "GET", "/latest/user-data", true, nil, 404, ""},
		"no document":                {bare, "GET", "/latest/dynamic/instance-identity/document", true, nil, 404, ""},
		"no role":                    {bare, "GET", "/latest/meta-data/iam/security-credentials/", true, nil, 404, ""},
		"no credentials":             {bare, "GET", "/latest/meta-data/iam/security-credentials/web", true, nil, 404, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			status, body := answer(t, tt.handler, tt.method, tt.path, tt.token, tt.header...)
			if status != tt.status || !strings.Contains(body, tt.holds) || status != 200 && body != "" {
				t.Errorf("%d %q", status, body)
			}
		})
	}
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := imdstest.Handler(imdstest.Sample())
		_, token := answer(t, h, "PUT", "/latest/api/token", false, ttl, "60")
		ask := func() int {
			status, _ := answer(t, h, "GET", "/latest/meta-data/instance-id", false, "X-Aws-Ec2-Metadata-Token", token)
			return status
		}
		time.Sleep(59 * time.Second)
		if status := ask(); status != 200 {
			t.Errorf("%d before it expires", status)
		}
		time.Sleep(time.Second)
		if status := ask(); status != 401 {
			t.Errorf("%d after it expired", status)
		}
	})
}

func TestFaultsLastAsLongAsTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := []imdstest.Fault{
			{Requests: 2, Do: imdstest.Status(503)},
			{For: 10 * time.Second, Path: "/latest/user-data", Do: imdstest.Status(404)},
			{Path: "/latest/meta-data/ami-id", Do: imdstest.Body("other")},
		}
		in := imdstest.Sample()
		in.Userdata = []byte("x")
		for range 2 { // the handlers share no schedule
			h := imdstest.Handler(in, faults...)
			for i, want := range []int{503, 503, 200} {
				if status, _ := answer(t, h, "PUT", "/latest/api/token", false, ttl, "60"); status != want {
					t.Errorf("request %d: %d", i, status)
				}
			}
			if status, _ := answer(t, h, "GET", "/latest/user-data", true); status != 404 {
				t.Errorf("%d within ten seconds", status)
			}
			time.Sleep(10 * time.Second)
			if status, _ := answer(t, h, "GET", "/latest/user-data", true); status != 200 {
				t.Errorf("%d after ten seconds", status)
			}
			if _, body := answer(t, h, "GET", "/latest/meta-data/ami-id", true); body != "other" {
				t.Errorf("%q for ever", body)
			}
		}
	})
}

// What a client sees of the faults that need a connection.
func TestFaultsOfTheConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		do      func(http.ResponseWriter, *http.Request, http.Handler)
		timeout bool
	}{
		"reset": {imdstest.Reset, false},
		"half":  {imdstest.Half, false},
		"stall": {imdstest.Stall, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := imdstest.NewPipe(imdstest.Sample(), imdstest.Fault{Do: tt.do})
				defer server.Close()
				transport := &http.Transport{DialContext: server.Dial}
				defer transport.CloseIdleConnections()
				client := http.Client{Transport: transport, Timeout: time.Minute}
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/latest/api/token", nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set(ttl, "60")
				response, err := client.Do(request)
				if err == nil {
					var body []byte
					body, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
					if len(body) == 0 || len(body) >= 26 {
						t.Errorf("%d bytes of a token", len(body))
					}
				}
				var timeout interface{ Timeout() bool }
				if err == nil || tt.timeout != (errors.As(err, &timeout) && timeout.Timeout()) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestServer(t *testing.T) {
	server, err := imdstest.NewServer(imdstest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(server.URL + "/latest/meta-data/instance-id")
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%v, %v", response, err)
	}
	_ = response.Body.Close()
	conn, err := server.Dial(t.Context(), "tcp", "anything:80")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	server.Close()
	if conn, err := server.Dial(t.Context(), "tcp", ""); err == nil {
		_ = conn.Close()
		t.Error("a closed server accepts connections")
	}
	piped := imdstest.NewPipe(imdstest.Sample())
	piped.Close()
	if _, err := piped.Dial(t.Context(), "", ""); err == nil {
		t.Error("a closed pipe accepts connections")
	}
}
