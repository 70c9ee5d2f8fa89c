package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// passphrase is of the payloads that openssl seals. It guards nothing.
const passphrase = "stirringdullroots"

// sealed is a payload with its bundles, made once.
type sealed struct {
	payload

	dir      string // holds the source folder and the bundles
	userdata map[string]string
	size     int64 // of the agent's bundle, in bytes
}

// The bundles, as files in sealed.dir.
const (
	bundleOurs = "bundle"
	bundleTar  = "tar.enc"
	bundleGzip = "tar.gz.enc"
	bundleZstd = "tar.zst.enc"
	keyFile    = "key"
)

// seal makes a payload's files and bundles; of one made of another's files, only
// the agent's.
func (b *bench) seal(ctx context.Context, p payload) (*sealed, error) {
	fmt.Fprintf(os.Stderr, "making %s\n", p.title)
	s := &sealed{payload: p, dir: filepath.Join(b.fast.dir, p.name), userdata: map[string]string{}}
	source := filepath.Join(s.dir, top)
	if err := os.MkdirAll(source, 0o755); err != nil {
		return nil, err
	}
	var err error
	if p.copies > 0 {
		err = p.link(filepath.Join(b.fast.dir, "mixed", top), source)
	} else {
		err = p.write(source)
	}
	if err != nil {
		return nil, fmt.Errorf("make payload: %w", err)
	}
	pack := exec.CommandContext(ctx, b.program("startup-packer"), "pack", source, "-o", filepath.Join(s.dir, bundleOurs), "--key-out", filepath.Join(s.dir, keyFile), "--json")
	if err := b.writeUserdata(s, pack); err != nil {
		return nil, err
	}
	if p.copies > 0 {
		return s, nil
	}
	for file, compress := range map[string]string{bundleTar: "", bundleGzip: "| gzip", bundleZstd: "| zstd -q"} {
		script := fmt.Sprintf("tar c %s %s | openssl enc -aes-256-cbc -k %s -out %s", top, compress, passphrase, file)
		if _, err := b.sh(ctx, s.dir, script); err != nil {
			return nil, fmt.Errorf("make %s: %w", file, err)
		}
	}
	return s, nil
}

// writeUserdata packs, and writes a document for each link.
func (b *bench) writeUserdata(s *sealed, pack *exec.Cmd) error {
	pack.Stderr = os.Stderr
	out, err := pack.Output()
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	var packed struct {
		Bytes  int64
		SHA256 string
	}
	if err := json.Unmarshal(out, &packed); err != nil {
		return fmt.Errorf("read what the packer printed: %w", err)
	}
	s.size = packed.Bytes
	key, err := os.ReadFile(filepath.Join(s.dir, keyFile))
	if err != nil {
		return err
	}
	for _, link := range []string{linkFast, linkSlow} {
		s.userdata[link] = filepath.Join(s.dir, "userdata."+link)
		text := fmt.Sprintf("#startup-bundle\nurl: %s\nkey: %s\nsha256: %s\n", b.url(link, s, bundleOurs), strings.TrimSpace(string(key)), packed.SHA256)
		if err := os.WriteFile(s.userdata[link], []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) url(link string, s *sealed, file string) string {
	return strings.Join([]string{b.server.url, link, s.name, file}, "/")
}

// program returns the path of one of the programs under test.
func (b *bench) program(name string) string { return filepath.Join(b.slow.dir, name) }

// sh runs a pipeline as a user would have it in a script, in the folder dir.
func (b *bench) sh(ctx context.Context, dir, script string) (*os.ProcessState, error) {
	return b.execute(ctx, exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script), dir)
}

// execute runs a program to its end, in a process group that ends with ctx and
// with nothing of this environment but where programs are.
func (b *bench) execute(ctx context.Context, c *exec.Cmd, dir string) (*os.ProcessState, error) {
	c.Dir = dir
	// The agent is given a file and does not ask for metadata; if it did, it
	// must not find any.
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	log, err := os.Create(filepath.Join(b.fast.dir, "stderr"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stderr = log
	if err := c.Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err), ctx.Err(), lastLine(log.Name()))
	}
	return c.ProcessState, nil
}

// lastLine returns the last line of a file as an error.
func lastLine(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var last string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		last = lines.Text()
	}
	return errors.New(last)
}
