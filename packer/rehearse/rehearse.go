// Package rehearse boots a personality on this machine: it packs it, stands in
// for the web server and for instance metadata on loopback, and runs the real
// agent against them in a scratch root and, so that the modules change nothing
// here, in a sandbox.
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
	"time"

	"startup-bundle/internal/document"
	"startup-bundle/internal/imdstest"
	"startup-bundle/internal/rehearsal"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
	"startup-bundle/packer"
	"startup-bundle/packer/sandbox"
)

// Options say what to rehearse and where.
type Options struct {
	Source   string       // a personality file or a folder of modules
	Given    packer.Given // options over the personality's
	Modules  string       // the modules folder; empty: found as by packer.Pack
	Agent    string       // the agent program; empty: startup-agent beside this program, else in PATH
	Keep     string       // a folder to keep the scratch root in: new, empty, or of a rehearsal before; empty: a temporary one, removed
	Here     bool         // run the modules on this machine itself, without a sandbox
	Timeline string       // a file for the picture of the run; empty: none
	Again    string       // the command line that rehearses again, without secrets
	Version  string
	Stdout   io.Writer // the agent's status
	Stderr   io.Writer // the agent's log, and what is done

	kinds []sandbox.Kind // to be tried; nil: as the sandbox likes
}

// Run rehearses and returns the agent's exit code. The error is for what kept
// the agent from running. When ctx ends, the agent is asked to stop, and its
// status is shown all the same.
func Run(ctx context.Context, o Options) (code int, err error) {
	program, err := findAgent(o.Agent)
	if err != nil {
		return 0, err
	}
	if err := o.checkKeep(); err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp("", "startup-rehearse-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, sandbox.Remove(work)) }()
	if work, err = filepath.EvalSymlinks(work); err != nil {
		return 0, err
	}
	packed, key, err := o.pack(ctx, work)
	if err != nil {
		return 0, err
	}
	root, err := o.root(work)
	if err != nil {
		return 0, err
	}
	w, err := o.surround(packed, key)
	if err != nil {
		return 0, err
	}
	defer w.close()
	outcome, err := o.boot(ctx, w, sandbox.Options{
		Program: program, Args: []string{"run", "--root", root}, Root: root, Scratch: work,
		Stdout: terminal.Below(o.Stdout), Stderr: terminal.Below(o.Stderr),
	})
	if err != nil {
		return 0, errors.Join(err, o.forget(root))
	}
	fmt.Fprintln(o.Stderr)
	after := context.WithoutCancel(ctx) // Ctrl-C was for the run: how it ended is told
	code, err = o.agent(after, w, program, "status", "--root", root)
	if err != nil {
		return 0, err
	}
	if outcome.Killed == "" {
		code = outcome.Code
	}
	if o.Timeline != "" {
		if _, err := o.agent(after, w, program, "timeline", "--svg", o.Timeline, "--root", root); err != nil {
			return 0, err
		}
	}
	for _, line := range o.conclusion(outcome, code, root) {
		fmt.Fprintln(o.Stderr, line)
	}
	return code, nil
}

// checkKeep sees that nothing but an earlier rehearsal is in the way.
func (o Options) checkKeep() error {
	if o.Keep == "" {
		return nil
	}
	entries, err := os.ReadDir(o.Keep)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(entries) == 0, err == nil && rehearsal.Read(filepath.Join(o.Keep, "root")) != nil:
		return nil
	case err != nil:
		return fmt.Errorf("keep the rehearsal: %w", err)
	}
	return fmt.Errorf("%s is not empty and holds no earlier rehearsal: name another folder with --keep", o.Keep)
}

// root makes the agent's root folder, in place of an earlier rehearsal's.
func (o Options) root(work string) (string, error) {
	dir := work
	if o.Keep != "" {
		if err := os.MkdirAll(o.Keep, 0o700); err != nil {
			return "", fmt.Errorf("make the folder to keep: %w", err)
		}
		abs, err := filepath.Abs(o.Keep)
		if err != nil {
			return "", err
		}
		if dir, err = filepath.EvalSymlinks(abs); err != nil {
			return "", err
		}
	}
	root := filepath.Join(dir, "root")
	if err := sandbox.Remove(root); err != nil {
		return "", fmt.Errorf("remove the earlier rehearsal: %w", err)
	}
	made := root
	if !o.Here && os.Geteuid() != 0 { // not every kind of sandbox has a /tmp: the agent uses its root's
		made = filepath.Join(root, "tmp")
	}
	if err := os.MkdirAll(made, 0o700); err != nil {
		return "", err
	}
	return root, rehearsal.Note{Again: o.Again, Kept: o.Keep != ""}.Write(root)
}

// forget removes a root to be kept in which nothing has run.
func (o Options) forget(root string) error {
	if o.Keep == "" {
		return nil
	}
	return sandbox.Remove(root)
}

// boot runs the agent as the machine's start would.
func (o Options) boot(ctx context.Context, w *world, s sandbox.Options) (sandbox.Outcome, error) {
	if o.Here {
		fmt.Fprintln(o.Stderr, inPlace)
		s.Env = w.env(os.Environ())
		return sandbox.Here(ctx, s)
	}
	s.Env = w.env(sandbox.WithoutCredentials(os.Environ()))
	s.Kinds = o.kinds
	s.Begin = func(kind sandbox.Kind) { fmt.Fprintln(o.Stderr, announcement(kind)) }
	return sandbox.Run(ctx, s)
}

// agent asks the agent something, outside the sandbox, and returns its exit code.
func (o Options) agent(ctx context.Context, w *world, program string, args ...string) (int, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Env, c.Stdout, c.Stderr = w.env(os.Environ()), terminal.Below(o.Stdout), terminal.Below(o.Stderr)
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run %s %s: %w", program, args[0], err)
	}
	return 0, nil
}

// world is what an instance finds around it: a bundle behind a URL, and metadata
// with the userdata that names it.
type world struct {
	bundle   *http.Server
	metadata *imdstest.Server
}

// pack makes the bundle and its key in work.
func (o Options) pack(ctx context.Context, work string) (*packer.Result, secret.String, error) {
	keyFile := filepath.Join(work, "key")
	packed, err := packer.Pack(ctx, packer.Options{
		Source: o.Source, Given: o.Given, Modules: o.Modules, Output: filepath.Join(work, "bundle"),
		Seal: packer.Seal{KeyOut: keyFile}, Version: o.Version,
		Note: func(line string) { fmt.Fprintln(o.Stderr, line) },
	})
	if err != nil {
		return nil, secret.String{}, err
	}
	fmt.Fprintf(o.Stderr, "packed %s: %d modules, %d bytes\n", packed.Name, len(packed.Modules), packed.Bytes)
	key, err := secret.ReadFile(keyFile)
	return packed, key, err
}

// surround serves the bundle, and metadata that names it. The digest is pinned in
// the userdata: loopback is plain http, which vouches for nothing.
func (o Options) surround(packed *packer.Result, key secret.String) (*world, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &world{bundle: &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, packed.Bundle)
	})}}
	go func() { _ = w.bundle.Serve(listener) }()
	d := document.Document{
		URLs: []string{"http://" + listener.Addr().String() + "/" + packed.Name + ".bundle"}, Key: key, SHA256: packed.SHA256,
	}
	i := imdstest.Sample()
	i.Userdata, err = packer.Userdata(d)
	if err == nil {
		w.metadata, err = imdstest.NewServer(i)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) close() {
	_ = w.bundle.Close()
	if w.metadata != nil {
		w.metadata.Close()
	}
}

// env makes an agent find this world and no real instance's metadata.
func (w *world) env(env []string) []string {
	return append(env, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+w.metadata.URL)
}

func findAgent(program string) (string, error) {
	if program == "" {
		if self, err := os.Executable(); err == nil {
			beside := filepath.Join(filepath.Dir(self), "startup-agent")
			if _, err := os.Stat(beside); err == nil {
				return beside, nil
			}
		}
	}
	path, err := exec.LookPath(program)
	if program == "" {
		path, err = exec.LookPath("startup-agent")
	}
	switch {
	case err == nil:
		return filepath.Abs(path)
	case program != "":
		return "", err
	}
	return "", errors.New("the agent is neither beside this program nor in PATH: name it with --agent FILE")
}
