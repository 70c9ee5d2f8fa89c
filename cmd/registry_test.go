package cmd_test

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
)

// ociregistry: an empty OCI registry on loopback, its HOST:PORT in $REGISTRY. It
// wants no login, and nobody's real credentials are looked at.
func ociregistry(ts *testscript.TestScript, _ bool, _ []string) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	ts.Defer(s.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
	ts.Setenv("DOCKER_CONFIG", ts.MkAbs("docker"))
}
