package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"startup-bundle/agent/runner"
)

// BenchmarkCapture compares Run with the shell's plain redirection of the same
// script, turn by turn. The metric captured/plain is the ratio of their times.
func BenchmarkCapture(b *testing.B) {
	tests := []struct{ name, body string }{
		{"flood of 256 MiB", "yes 'Setting up libexample (1.2.3-4) ...' | head -c 268435456"},
		{"100,000 lines one by one", "i=0; while [ $i -lt 100000 ]; do echo \"line $i of the output\"; i=$((i+1)); done"},
		{"work without output", "i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done"},
	}
	for _, test := range tests {
		b.Run(test.name, func(b *testing.B) {
			dir := b.TempDir()
			path, log := filepath.Join(dir, "start"), filepath.Join(dir, "log")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+test.body+"\n"), 0o700); err != nil {
				b.Fatal(err)
			}
			passed := 0
			r := runner.Runner{Line: func(string) { passed++ }}
			s := runner.Script{Path: path, Dir: dir, Env: []string{"PATH=/usr/bin:/bin"}, Log: log, Timeout: time.Minute}
			captured := func() {
				if res, err := r.Run(b.Context(), s); err != nil || res.ExitCode != 0 {
					b.Fatalf("%+v, %v", res, err)
				}
			}
			plain := func() {
				cmd := exec.Command("/bin/sh", "-c", "exec ./start >>log 2>&1 </dev/null")
				cmd.Dir, cmd.Env = dir, s.Env
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
			}
			timed := func(run func()) time.Duration {
				_ = os.Remove(log)
				began := time.Now()
				run()
				return time.Since(began)
			}
			timed(plain) // warm
			var with, without time.Duration
			for b.Loop() {
				with += timed(captured)
				without += timed(plain)
				without += timed(plain)
				with += timed(captured)
			}
			b.ReportMetric(with.Seconds()/without.Seconds(), "captured/plain")
			b.ReportMetric(float64(with.Milliseconds())/float64(2*b.N), "ms/run")
		})
	}
}
