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
	"syscall"
	"time"
)

// sample is one measurement.
type sample struct {
	took  time.Duration // of what the scene compares
	whole time.Duration // of the whole process
	busy  time.Duration // processor time of the process and its children
	peak  int64         // resident memory of the program, in bytes; 0: not looked at
}

// contender is one way to get a payload onto the disk, and perhaps to run it.
type contender struct {
	name string
	// run leaves the payload somewhere below dir, which is empty, and says where.
	run func(ctx context.Context, dir string) (sample, string, error)
}

// The contenders' names.
const (
	ours       = "startup-agent"
	recipe     = "recipe"
	recipeGzip = "recipe, gzip"
	recipeZstd = "recipe, zstd"
	stockAge   = "age, zstd"
	floor      = "floor"
)

// agent is the real program. Compared is its bundle phase, or the whole run.
func (b *bench) agent(s *sealed, link string, whole bool) contender {
	return contender{ours, func(ctx context.Context, dir string) (sample, string, error) {
		began := time.Now()
		c := exec.CommandContext(ctx, b.program("startup-agent"), "run", "--root", dir, "--userdata", s.userdata[link])
		state, err := b.execute(ctx, c, dir)
		took := sample{whole: time.Since(began)}
		if err != nil {
			return sample{}, "", err
		}
		took.took = took.whole
		if !whole {
			took.took, err = bundlePhase(filepath.Join(dir, "var/log/startup-agent/agent.jsonl"))
		}
		took.use(state)
		return took, filepath.Join(dir, "var/lib/startup-agent/bundle", top), err
	}}
}

// use takes what the kernel counted for an ended process.
func (s *sample) use(state *os.ProcessState) {
	if state == nil {
		return
	}
	s.busy = state.UserTime() + state.SystemTime()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		s.peak = usage.Maxrss << 10
	}
}

// bundlePhase reads from the agent's log how long its bundle phase took: from
// the first request to the folder that is verified and in its place.
func bundlePhase(log string) (time.Duration, error) {
	f, err := os.Open(log)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Msg, Phase string
			Duration   float64
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Phase == "bundle" && line.Msg == "phase ended" {
			return time.Duration(line.Duration * float64(time.Second)), nil
		}
	}
	return 0, errors.New("the agent's log does not say how long the bundle phase took")
}

// runModules is the second half of the recipe.
const runModules = ` && cd ` + top + ` && for module in */; do (cd "$module" && ./start); done`

// pipeline is a shell pipeline that reads the bundle in file, and then does rest.
func (b *bench) pipeline(name string, s *sealed, link, file, stages, rest string) contender {
	script := fmt.Sprintf("curl -sf %s | %s | tar x", b.url(link, s, file), stages) + rest
	return contender{name, func(ctx context.Context, dir string) (sample, string, error) {
		began := time.Now()
		state, err := b.sh(ctx, dir, script)
		took := sample{whole: time.Since(began)}
		took.took = took.whole
		took.use(state)
		took.peak = 0 // of bash, or of whichever program had most
		return took, filepath.Join(dir, top), err
	}}
}

// pipelines are all of them.
func (b *bench) pipelines(s *sealed, link string) []contender {
	decrypt := "openssl enc -d -aes-256-cbc -k " + passphrase
	return []contender{
		b.pipeline(recipe, s, link, bundleTar, decrypt, ""),
		b.pipeline(recipeGzip, s, link, bundleGzip, decrypt+" | gzip -d", ""),
		b.pipeline(recipeZstd, s, link, bundleZstd, decrypt+" | zstd -dcq", ""),
		b.pipeline(stockAge, s, link, bundleOurs, b.age+" -d -i "+filepath.Join(s.dir, keyFile)+" | zstd -dcq", ""),
	}
}

// wholeRecipe is the recipe with the run of the modules.
func (b *bench) wholeRecipe(s *sealed, link string) contender {
	return b.pipeline(recipe, s, link, bundleTar, "openssl enc -d -aes-256-cbc -k "+passphrase, runModules)
}

// bare writes files of the payload's names and sizes, and nothing else: no
// network, no cipher. Less than that, nothing that unpacks it can take.
func (b *bench) bare(s *sealed) contender {
	return contender{floor, func(_ context.Context, dir string) (sample, string, error) {
		source := filepath.Join(s.dir, top)
		files, err := list(source)
		if err != nil {
			return sample{}, "", err
		}
		buffer := make([]byte, 256<<10)
		began := time.Now()
		for _, f := range files {
			if err := f.write(filepath.Join(dir, top), buffer); err != nil {
				return sample{}, "", err
			}
		}
		took := time.Since(began)
		return sample{took: took, whole: took}, filepath.Join(dir, top), nil
	}}
}
