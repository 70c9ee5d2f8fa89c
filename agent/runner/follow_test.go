package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// followed is a log file that a test writes and a follower follows.
type followed struct {
	t      *testing.T
	file   *os.File
	began  time.Time
	finish func() *follower

	mu          sync.Mutex
	told, quiet []string
}

// lines returns what was passed on so far.
func (f *followed) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.told)
}

// follow begins to follow a new log; it is called inside a synctest bubble.
func follow(t *testing.T) *followed {
	t.Helper()
	return followHiding(t, nil)
}

func followHiding(t *testing.T, secrets Secrets) *followed {
	t.Helper()
	file, _, err := openLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	log := &followed{t: t, file: file, began: time.Now()}
	f := newFollower(file, 0, Runner{
		Secrets: secrets,
		Line: func(line string) {
			log.mu.Lock()
			defer log.mu.Unlock()
			log.told = append(log.told, line)
		},
		Silent: func(quiet time.Duration) {
			log.quiet = append(log.quiet, fmt.Sprintf("%v after %v", quiet.Round(time.Second), time.Since(log.began).Round(time.Second)))
		},
	})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.run(stop)
	}()
	log.finish = func() *follower {
		close(stop)
		<-done
		return f
	}
	return log
}

func (f *followed) write(text string) {
	f.t.Helper()
	if _, err := f.file.WriteString(text); err != nil {
		f.t.Fatal(err)
	}
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestFollowPassesOnLinesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		log.write("one\ntw")
		after(2 * pollEvery)
		if diff := cmp.Diff([]string{"one"}, log.lines()); diff != "" {
			t.Error(diff)
		}
		log.write("o\n\n\r\nthree")
		after(2 * pollEvery)
		if diff := cmp.Diff([]string{"one", "two"}, log.lines()); diff != "" {
			t.Error(diff)
		}
		f := log.finish()
		if diff := cmp.Diff([]string{"one", "two", "three"}, log.lines()); diff != "" {
			t.Error(diff)
		}
		if f.omitted != 0 {
			t.Errorf("%d bytes omitted", f.omitted)
		}
	})
}

func TestFollowTellsOfSilenceEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		after(150 * time.Second)
		log.write("a dot.") // no whole line, but a sign of life
		after(100 * time.Second)
		log.finish()
		want := []string{"1m0s after 1m0s", "2m0s after 2m0s", "1m0s after 3m30s"}
		if diff := cmp.Diff(want, log.quiet); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFollowSplitsLongLinesBetweenRunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		text := "x" + strings.Repeat("é", MaxLine) + "\n"
		log.write(text)
		log.finish()
		lines := log.lines()
		if got := strings.Join(lines, ""); got+"\n" != text {
			t.Errorf("the pieces make %d bytes of %d", len(got), len(text))
		}
		if len(lines) != 3 || len(lines[0]) != MaxLine-1 {
			t.Errorf("%d pieces, the first of %d bytes", len(lines), len(lines[0]))
		}
	})
}

func TestFollowBoundsTheRateAndSaysWhatItLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		var text strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&text, "line %d\n", i)
		}
		for range 200 { // 20 s of 100,000 lines a second
			log.write(text.String())
			after(pollEvery)
		}
		log.write("the end\n")
		f := log.finish()
		lines := log.lines()
		if most := 2*lineBurst + 25*lineRate; len(lines) > most {
			t.Errorf("%d lines were passed on, more than %d", len(lines), most)
		}
		if lines[0] != "line 0" || lines[len(lines)-1] != "the end" {
			t.Errorf("from %q to %q", lines[0], lines[len(lines)-1])
		}
		var said, marks, passed int64
		for _, line := range lines {
			var bytes int64
			if n, _ := fmt.Sscanf(line, "[%d bytes of output are left out", &bytes); n == 1 {
				said, marks = said+bytes, marks+1
			} else {
				passed += int64(len(line)) + 1
			}
		}
		if said != f.omitted || passed+f.omitted != f.size || marks < 5 || marks > 22 {
			t.Errorf("%d bytes passed on and %d left out of %d; %d told, in %d lines", passed, f.omitted, f.size, said, marks)
		}
	})
}

func TestFollowCatchesUpWithABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		log.write(strings.Repeat("y\n", 3*lineBurst))
		after(time.Second)
		if got := len(log.lines()); got < lineBurst || got > lineBurst+2*lineRate {
			t.Errorf("%d lines after a second", got)
		}
		after(time.Minute)
		if f := log.finish(); len(log.lines()) != 3*lineBurst || f.omitted != 0 {
			t.Errorf("%d lines after a minute, %d bytes omitted", len(log.lines()), f.omitted)
		}
	})
}

func TestFollowBoundsTheBytesOfLongLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		log.write(strings.Repeat(strings.Repeat("x", 1023)+"\n", 512)) // twice the burst
		after(time.Second)
		if got := len(log.lines()) << 10; got < byteBurst || got > byteBurst+2*byteRate {
			t.Errorf("%d bytes after a second", got)
		}
		log.finish()
	})
}

func TestFollowBeginsAgainWhenTheScriptEmptiesItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := follow(t)
		log.write("old old old\n")
		after(2 * pollEvery)
		if err := log.file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		log.write("new\n")
		f := log.finish()
		if diff := cmp.Diff([]string{"old old old", "new"}, log.lines()); diff != "" {
			t.Error(diff)
		}
		if f.size-f.start != 4 {
			t.Errorf("%d bytes", f.size-f.start)
		}
	})
}
