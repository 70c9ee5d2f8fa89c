// Command bench compares startup-agent with the shell pipelines that it
// replaces, end to end, in one alternating run on this machine:
//
//  1. make the payloads and seal them in each contender's own way
//  2. serve them on loopback, as fast as it goes and as a throttled link
//  3. let the contenders take turns; what varies much is measured longer
//  4. print the tables, and rewrite docs/performance.md and its chart
//
// It needs no root. The agent and the packer are the real programs; curl,
// openssl, tar, gzip, zstd and age are those of the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	bin    string        // folder of startup-agent, startup-packer, bench-hello
	age    string        // the stock age program
	disk   string        // a folder on a disk
	docs   string        // where performance.md is; empty: nothing is written
	only   string        // a part of the names of the scenes to run
	rounds int           // of each scene; twice as many where times vary much
	limit  time.Duration // for everything
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "build", "the `FOLDER` of the built programs")
	flag.StringVar(&o.age, "age", "age", "the stock age `PROGRAM`")
	flag.StringVar(&o.disk, "disk", "build", "a `FOLDER` on a disk, for what is measured there")
	flag.StringVar(&o.docs, "docs", "", "rewrite performance.md and performance.svg in this `FOLDER`; only with all scenes")
	flag.StringVar(&o.only, "only", "", "run only scenes with `TEXT` in their name: "+sceneHelp())
	flag.IntVar(&o.rounds, "rounds", 5, "measure each contender this often")
	flag.DurationVar(&o.limit, "limit", 10*time.Minute, "give up after this time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func (o options) run(ctx context.Context) (err error) {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: see -help", flag.Arg(0))
	case o.rounds < 1 || o.rounds > 100:
		return fmt.Errorf("-rounds %d: give 1 to 100", o.rounds)
	case o.docs != "" && o.only != "":
		return fmt.Errorf("-docs with -only %s would publish half of the numbers: leave one out", o.only)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done after %v: raise -limit, or choose with -only", o.limit))
	defer cancel()
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	report, err := b.scenes(ctx)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	text := report.markdown()
	fmt.Print(text)
	if o.docs == "" {
		return nil
	}
	if err := insert(filepath.Join(o.docs, "performance.md"), text); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.docs, "performance.svg"), []byte(report.chart()), 0o644)
}
