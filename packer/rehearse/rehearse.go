// Package rehearse boots a personality on this machine: it packs it, stands in
// for the web server and for instance metadata on loopback, and runs the real
// agent against them in a scratch root.
package rehearse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"startup-bundle/internal/document"
	"startup-bundle/internal/imdstest"
	"startup-bundle/internal/secret"
	"startup-bundle/packer"
)

// Options say what to rehearse and where.
type Options struct {
	Source  string // a personality file or a folder of modules
	Modules string // the modules folder; empty: found as by packer.Pack
	Agent   string // the agent program; empty: startup-agent beside this program, else in PATH
	Keep    string // a folder to make and keep the scratch root in; empty: a temporary one, removed
	Version string
	Stdout  io.Writer // the agent's status
	Stderr  io.Writer // the agent's log, and what is done
}

// Run rehearses and returns the agent's exit code. The error is for what kept
// the agent from running.
func Run(ctx context.Context, o Options) (code int, err error) {
	program, err := findAgent(o.Agent)
	if err != nil {
		return 0, err
	}
	work, err := o.folder()
	if err != nil {
		return 0, err
	}
	if o.Keep == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	userdata, stop, err := o.serve(ctx, work)
	if err != nil {
		return 0, err
	}
	defer stop()
	i := imdstest.Sample()
	i.Userdata = userdata
	metadata, err := imdstest.NewServer(i)
	if err != nil {
		return 0, err
	}
	defer metadata.Close()

	root := filepath.Join(work, "root")
	code, err = o.run(ctx, metadata.URL, program, "run", "--root", root)
	if err != nil {
		return 0, err
	}
	fmt.Fprintln(o.Stderr)
	if _, err := o.run(ctx, metadata.URL, program, "status", "--root", root); err != nil {
		return 0, err
	}
	switch {
	case o.Keep != "":
		fmt.Fprintf(o.Stderr, "\nkept: %s; see %s --root %s status; to run it again, rehearse it again\n", root, program, root)
	case code != 0:
		fmt.Fprintln(o.Stderr, "\nits files are removed: to look into them, rehearse it again with --keep FOLDER")
	}
	return code, nil
}

func (o Options) folder() (string, error) {
	if o.Keep == "" {
		return os.MkdirTemp("", "startup-rehearse-")
	}
	if err := os.Mkdir(o.Keep, 0o700); err != nil {
		return "", fmt.Errorf("make the folder to keep: %w", err)
	}
	return filepath.Abs(o.Keep)
}

// serve packs the bundle into work, serves it, and returns the userdata for it.
// The digest is pinned there: loopback is plain http, which vouches for nothing.
func (o Options) serve(ctx context.Context, work string) (userdata []byte, stop func(), err error) {
	file, keyFile := filepath.Join(work, "bundle"), filepath.Join(work, "key")
	packed, err := packer.Pack(ctx, packer.Options{
		Source: o.Source, Modules: o.Modules, Output: file, Seal: packer.Seal{KeyOut: keyFile}, Version: o.Version,
		Note: func(line string) { fmt.Fprintln(o.Stderr, line) },
	})
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(o.Stderr, "packed %s: %d modules, %d bytes\n", packed.Name, len(packed.Modules), packed.Bytes)
	key, err := secret.ReadFile(keyFile)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, file)
	})}
	go func() { _ = server.Serve(listener) }()
	stop = func() { _ = server.Close() }
	userdata, err = packer.Userdata(document.Document{
		URLs: []string{"http://" + listener.Addr().String() + "/" + packed.Name + ".bundle"}, Key: key, SHA256: packed.SHA256,
	})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return userdata, stop, nil
}

// run runs the agent to its end. When ctx ends it is asked to end, as by a
// shutdown.
func (o Options) run(ctx context.Context, metadata, program string, args ...string) (int, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata)
	c.Stdout, c.Stderr = o.Stdout, o.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 30 * time.Second
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", program, err)
	}
	return 0, nil
}

func findAgent(program string) (string, error) {
	if program != "" {
		return exec.LookPath(program)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "startup-agent")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("startup-agent")
	if err != nil {
		return "", errors.New("the agent is neither beside this program nor in PATH: name it with --agent FILE")
	}
	return path, nil
}
