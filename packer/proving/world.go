package proving

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"startup-bundle/internal/document"
	"startup-bundle/internal/imdstest"
	"startup-bundle/internal/secret"
	"startup-bundle/packer"
)

// What the machine finds, all on its own loopback.
const (
	proxyAddress    = "127.0.0.1:3142" // the way to the package servers
	storeAddress    = "127.0.0.1:3143" // the bundle
	metadataAddress = "127.0.0.1:3144" // a stand-in for instance metadata
)

// agentPath is where the agent is on the machine.
const agentPath = "/usr/bin/startup-agent"

// world is what an instance finds around it: a bundle behind a URL, and metadata
// with the userdata that names it.
type world struct {
	proxy, store, metadata http.Handler
	servers                []*http.Server
}

// bundleFile is the packed bundle, on this side.
func (m *machine) bundleFile() string { return filepath.Join(m.dir, "bundle") }

// surround makes the world of a bundle.
func (m *machine) surround(packed *packer.Result, key secret.String) error {
	userdata, err := packer.Userdata(document.Document{
		URLs: []string{"http://" + storeAddress + "/" + packed.Name + ".bundle"}, Key: key, SHA256: packed.SHA256,
		OnFailure: document.Continue, Env: proxyEnv(),
	})
	if err != nil {
		return err
	}
	instance := imdstest.Sample()
	instance.Userdata = userdata
	m.world = world{
		proxy: newProxy(m.debs),
		store: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, m.bundleFile())
		}),
		metadata: imdstest.Handler(instance),
	}
	return nil
}

// open serves the world inside the network of the process leader.
func (w *world) open(leader int) error {
	for address, handler := range map[string]http.Handler{proxyAddress: w.proxy, storeAddress: w.store, metadataAddress: w.metadata} {
		listener, err := listenIn(leader, address)
		if err != nil {
			return fmt.Errorf("open a server inside the machine: %w", err)
		}
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		w.servers = append(w.servers, s)
		go func(l net.Listener) { _ = s.Serve(l) }(listener)
	}
	return nil
}

func (w *world) close() {
	for _, s := range w.servers {
		_ = s.Close()
	}
	w.servers = nil
}

// agentCommand is a call of the agent inside the machine, as its unit makes it, but
// for where metadata is.
func (m *machine) agentCommand(ctx context.Context, args ...string) *exec.Cmd {
	c := m.enter(ctx, append([]string{agentPath}, args...)...)
	c.Env = append(c.Env, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://"+metadataAddress)
	return c
}

// drawTimeline writes the picture of the machine's last run to file.
func (m *machine) drawTimeline(ctx context.Context, file string) error {
	const there = "/run/timeline.svg"
	if out, err := m.agentCommand(ctx, "timeline", "--svg", there).CombinedOutput(); err != nil {
		return fmt.Errorf("draw the timeline: %w: %s", err, lastLines(string(out), 3))
	}
	picture, err := m.enter(ctx, "cat", there).Output()
	if err != nil {
		return fmt.Errorf("draw the timeline: %w", err)
	}
	return os.WriteFile(file, picture, 0o644)
}
