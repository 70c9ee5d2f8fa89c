package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// startRounds is how often the start of a program is measured; it is short.
const startRounds = 40

// sceneHelp lists the names that -only chooses from.
func sceneHelp() string {
	return "start, then PAYLOAD-LINK as in mixed-slow (payloads files, mixed, small; links fast, slow), whole-PAYLOAD-tmpfs and -disk (payloads modules, files), memory"
}

// bench holds what all scenes need.
type bench struct {
	options

	fast   place // also where the payloads and bundles are
	slow   place // on a disk
	server *server
}

func newBench(o options) (*bench, error) {
	b := &bench{options: o}
	var err error
	for _, tool := range []string{"bash", "curl", "openssl", "tar", "gzip", "zstd", o.age} {
		found, err := exec.LookPath(tool)
		if err != nil {
			return nil, fmt.Errorf("a contender is missing: %w: install it", err)
		}
		if b.age, err = filepath.Abs(found); err != nil { // the last one
			return nil, err
		}
	}
	if b.fast, err = fastPlace(o.disk); err != nil {
		return nil, err
	}
	if b.slow, err = newPlace(o.disk); err == nil {
		err = b.install("startup-agent", "startup-packer", "bench-hello")
	}
	if err == nil {
		b.server, err = newServer(b.fast.dir)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// install copies the programs to the disk, front to back, as a package manager does
// with all that they are compared with. The kernel keeps what a linker has written
// through a mapping in smaller pieces, and maps it more slowly at every start.
func (b *bench) install(programs ...string) error {
	for _, name := range programs {
		if err := copyFile(filepath.Join(b.bin, name), b.program(name)); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

// copyFile copies a program. It does not read it whole: what this process has used
// is the least that a process started by it can show.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
	return errors.Join(err, out.Close())
}

func (b *bench) close() {
	if b.server != nil {
		b.server.close()
	}
	for _, p := range []place{b.fast, b.slow} {
		if p.dir != "" {
			_ = os.RemoveAll(p.dir)
		}
	}
}

// scenes plays all that are chosen.
func (b *bench) scenes(ctx context.Context) (*report, error) {
	r := &report{fast: b.fast.fs, slow: b.slow.fs, began: time.Now(), rounds: b.rounds}
	if b.wants("start") {
		var err error
		if r.start, err = b.starts(ctx); err != nil {
			return nil, err
		}
	}
	all := payloads()
	for _, name := range []string{"modules", "files", "small", "mixed", "large"} {
		if err := b.played(ctx, r, all[name]); err != nil {
			return nil, err
		}
	}
	r.own = ownPeak()
	return r, nil
}

// played plays the scenes of one payload.
func (b *bench) played(ctx context.Context, r *report, p payload) error {
	planned := b.plan(p)
	if len(planned) == 0 {
		return nil
	}
	s, err := b.seal(ctx, p)
	if err != nil {
		return err
	}
	r.sizes = append(r.sizes, s)
	for _, sc := range planned {
		fmt.Fprintln(os.Stderr, "playing", sc.name)
		sc.contenders = b.contenders(s, sc)
		rounds := b.rounds
		if sc.name == "memory" { // which hardly varies
			rounds = min(rounds, 2)
		}
		if err := sc.play(ctx, rounds); err != nil {
			return err
		}
		r.scenes = append(r.scenes, sc)
	}
	if p.name == "mixed" { // the large one is made of its files
		return nil
	}
	return os.RemoveAll(s.dir)
}

// plan returns the chosen scenes of a payload.
func (b *bench) plan(p payload) (chosen []*scene) {
	var all []*scene
	if p.name == "modules" || p.name == "files" {
		for name, on := range map[string]place{"tmpfs": b.fast, "disk": b.slow} {
			all = append(all, &scene{name: "whole-" + p.name + "-" + name, link: linkFast, on: on, whole: true})
		}
	}
	switch p.name {
	case "modules":
	case "large":
		all = append(all, &scene{name: "memory", link: linkFast, on: b.fast})
	default:
		all = append(all, &scene{name: p.name + "-" + linkSlow, link: linkSlow, on: b.fast}, &scene{name: p.name + "-" + linkFast, link: linkFast, on: b.fast})
	}
	for _, sc := range all {
		sc.payload = p
		// The memory scene compares with the mixed files over the same link.
		if strings.Contains(sc.name, b.only) || (b.only == "memory" && sc.name == "mixed-"+linkFast) {
			chosen = append(chosen, sc)
		}
	}
	slices.SortFunc(chosen, func(x, y *scene) int { return strings.Compare(y.name, x.name) })
	return chosen
}

// contenders returns who takes part in a scene.
func (b *bench) contenders(s *sealed, sc *scene) []contender {
	own := b.agent(s, sc.link, sc.whole)
	switch {
	case sc.name == "memory":
		return []contender{own}
	case sc.whole:
		return []contender{own, b.wholeRecipe(s, sc.link)}
	}
	return append([]contender{own, b.bare(s)}, b.pipelines(s, sc.link)...)
}

func (b *bench) wants(name string) bool { return strings.Contains(name, b.only) }

// starts measures how long the agent takes to print its version, and a program
// in Go that only prints a line.
func (b *bench) starts(ctx context.Context) (*scene, error) {
	program := func(name string, args ...string) func(context.Context, string) (sample, string, error) {
		return func(ctx context.Context, dir string) (sample, string, error) {
			began := time.Now()
			_, err := b.execute(ctx, exec.CommandContext(ctx, b.program(name), args...), dir)
			took := time.Since(began)
			return sample{took: took, whole: took}, "", err
		}
	}
	sc := &scene{name: "start", on: b.fast, contenders: []contender{{ours, program("startup-agent", "version")}, {floor, program("bench-hello")}}}
	return sc, sc.play(ctx, startRounds)
}
