package runner_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"startup-bundle/agent/runner"
)

func TestOutputOfAnySizeAndKindIsKeptWhole(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	tests := []struct {
		name, body string
		bytes      int64
		lines      int // passed on at most
		last       string
	}{
		{"more lines than anyone can read", fmt.Sprintf("yes 'all work and no play' | head -c %d; echo; echo end", size-5), size, 10_000, "end"},
		{"a line of 100 MB", "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end", 100_000_005, 1000, "end"},
		{"100 MB of empty lines", "head -c 100000000 /dev/zero | tr '\\0' '\\n'; echo end", 100_000_004, 10_000, "end"},
		{"noise", "head -c 4000000 /dev/urandom; echo; echo end", 4_000_005, 10_000, "end"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := script(t, test.body)
			lines, last := 0, ""
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := runner.Runner{Line: func(line string) {
				lines, last = lines+1, line
				if len(line) > 2*runner.MaxLine || !utf8.ValidString(line) || strings.ContainsAny(line, "\x00\x1b\r\n") {
					t.Errorf("unsafe line %q", line)
				}
			}}.Run(t.Context(), s)
			runtime.ReadMemStats(&after)
			if err != nil || got.Outcome != runner.Exited || got.ExitCode != 0 {
				t.Fatalf("%+v, %v", got, err)
			}
			info, err := os.Stat(s.Log)
			if err != nil || info.Size() != test.bytes || got.OutputBytes != test.bytes {
				t.Errorf("log of %d bytes, %d reported, want %d", info.Size(), got.OutputBytes, test.bytes)
			}
			if lines > test.lines || last != test.last || got.Tail[len(got.Tail)-1] != test.last {
				t.Errorf("%d lines were passed on, the last is %.80q", lines, last)
			}
			if got.OmittedBytes == 0 || got.OmittedBytes >= test.bytes {
				t.Errorf("%d bytes omitted", got.OmittedBytes)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8<<20 {
				t.Errorf("%d bytes were allocated in all", allocated)
			}
			t.Logf("%v, %d lines passed on, %d KiB allocated", got.Duration, lines, (after.TotalAlloc-before.TotalAlloc)>>10)
		})
	}
}
