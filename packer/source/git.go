package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"startup-bundle/internal/bundle"
)

// gitPatience is how long one call of git may take.
const gitPatience = 10 * time.Minute

var commitForm = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// git is a repository, read with the git program. What is in it is never run or
// converted: no hooks, filters, submodules or attributes; and git asks nobody.
type git struct{}

func (g git) resolve(ctx context.Context, r Reference) (resolution, error) {
	if commitForm.MatchString(r.ref) {
		return resolution{resolved: r.ref, name: r.Name, fixed: true}, nil
	}
	patterns := []string{"HEAD"}
	if r.ref != "" {
		patterns = []string{"refs/tags/" + r.ref, "refs/tags/" + r.ref + "^{}", "refs/heads/" + r.ref}
	}
	out, err := g.run(ctx, "", append([]string{"ls-remote", "--", r.url}, patterns...)...)
	if err != nil {
		return resolution{}, fmt.Errorf("module %s from %s: %w", r.Name, r, err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && commitForm.MatchString(commit) {
			found[name] = commit
		}
	}
	now := resolution{name: r.Name}
	tag := found["refs/tags/"+r.ref]
	switch {
	case r.ref == "":
		now.resolved = found["HEAD"]
	case tag != "":
		now.resolved, now.fixed = tag, true
		if commit := found["refs/tags/"+r.ref+"^{}"]; commit != "" { // what an annotated tag points to
			now.resolved = commit
		}
	default:
		now.resolved = found["refs/heads/"+r.ref]
	}
	if now.resolved == "" {
		return resolution{}, fmt.Errorf("module %s from %s: the repository has no branch or tag of that name", r.Name, r)
	}
	return now, nil
}

func (g git) fetch(ctx context.Context, r Reference, resolved, dest string) error {
	repository := filepath.Join(filepath.Dir(dest), "repository")
	if _, err := g.run(ctx, "", "init", "--quiet", "--bare", "--", repository); err != nil {
		return err
	}
	// A commit alone, where the server gives one; else all of its branches and tags.
	if _, err := g.run(ctx, repository, "fetch", "--quiet", "--no-tags", "--depth=1", "--", r.url, resolved); err != nil {
		if _, err := g.run(ctx, repository, "fetch", "--quiet", "--", r.url, "+refs/*:refs/fetched/*"); err != nil {
			return err
		}
	}
	if _, err := g.run(ctx, repository, "cat-file", "-e", resolved+"^{commit}"); err != nil {
		return fmt.Errorf("%w: the repository does not have commit %s any more", ErrDrift, resolved)
	}
	// Attributes of the repository would leave files out of an archive, or change them.
	none := []byte("* -export-ignore -export-subst -text -eol -ident -filter -working-tree-encoding\n")
	if err := errors.Join(os.MkdirAll(filepath.Join(repository, "info"), 0o755), os.WriteFile(filepath.Join(repository, "info", "attributes"), none, 0o644)); err != nil {
		return err
	}
	tree := resolved + ":" + r.path
	if out, err := g.run(ctx, repository, "cat-file", "-t", tree); err != nil || strings.TrimSpace(string(out)) != "tree" {
		return fmt.Errorf("there is no folder %q in commit %s", r.path, resolved)
	}
	return g.export(ctx, repository, tree, r.Name, dest)
}

// export makes the new folder dest of a tree of the repository.
func (g git) export(ctx context.Context, repository, tree, name, dest string) error {
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	c := g.command(ctx, repository, "archive", "--format=tar", "--prefix="+name+"/", tree)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("run git: %w", err)
	}
	unpackErr := bundle.UnpackModule(ctx, out, dest, bundle.Limits{})
	_, _ = io.Copy(io.Discard, out)
	if err := c.Wait(); err != nil && unpackErr == nil {
		return errors.Join(fmt.Errorf("git archive: %w: %s", err, lastLine(said.String())), os.RemoveAll(dest))
	}
	return unpackErr
}

func (g git) run(ctx context.Context, repository string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	c := g.command(ctx, repository, args...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("git is not in PATH: install it")
	}
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, lastLine(said.String()))
	}
	return out, nil
}

// command is a call of git that trusts nothing of the repository.
func (git) command(ctx context.Context, repository string, args ...string) *exec.Cmd {
	settings := []string{
		"-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "transfer.fsckObjects=true",
		"-c", "fetch.recurseSubmodules=no", "-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c", "core.attributesFile=/dev/null",
		"-c", "tar.umask=0022", "-c", "credential.interactive=false",
	}
	if repository != "" {
		settings = append(settings, "--git-dir="+repository)
	}
	c := exec.CommandContext(ctx, "git", append(settings, args...)...)
	for _, name := range []string{"PATH", "HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "GIT_SSL_CAINFO"} {
		if value, ok := os.LookupEnv(name); ok {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	c.Env = append(c.Env, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "SSH_ASKPASS=true", "GIT_LFS_SKIP_SMUDGE=1",
		"GIT_ALLOW_PROTOCOL=https:ssh:file:http", "GIT_SSH_COMMAND=ssh -oBatchMode=yes", "GIT_PROTOCOL_FROM_USER=0")
	c.WaitDelay = 10 * time.Second
	return c
}

// lastLine returns the last line that a program said.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
