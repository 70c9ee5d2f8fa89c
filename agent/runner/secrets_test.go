package runner

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"startup-bundle/agent/journal"
	"startup-bundle/internal/secret"
)

func knows(secrets ...string) *journal.Redactor {
	r := journal.NewRedactor()
	for _, s := range secrets {
		r.Add(secret.New(s))
	}
	return r
}

// A long line is passed on in pieces, and a secret may stand anywhere in it.
func TestFollowCutsNoSecretInTwo(t *testing.T) {
	long := "QQxx77" + strings.Repeat("long", 6<<10) + "JJvv99" // longer than a piece
	identity := "AGE-SECRET-KEY-1" + strings.Repeat("QX7JV9", 10)
	for _, hidden := range []string{"QQxx77-stirring-JJvv99", "QQxx77 " + strings.Repeat("word ", 300) + "JJvv99", long, identity} {
		for _, before := range []int{0, 1, MaxLine - len(hidden), MaxLine - len(hidden) + 1, MaxLine - len(hidden)/2, MaxLine - 2, MaxLine, 2*MaxLine - 5, byteBurst - 4} {
			if before < 0 {
				continue
			}
			for _, pause := range []int{-1, 0, 1, len(hidden) / 2, len(hidden) - 1} { // after so much of it, the script writes no more for a while
				synctest.Test(t, func(t *testing.T) {
					log := followHiding(t, knows(hidden))
					text := strings.Repeat(".", before) + hidden + strings.Repeat(".", MaxLine)
					if pause >= 0 {
						log.write(text[:before+pause])
						after(time.Second)
						text = text[before+pause:]
					}
					log.write(text)
					after(20 * time.Second)
					log.finish()
					shown := strings.Join(log.lines(), "")
					if rest := strings.ReplaceAll(strings.Trim(shown, "."), secret.Redacted, ""); strings.Trim(rest, ".") != "" {
						t.Errorf("%d before, pause after %d of %d: %.80q", before, pause, len(hidden), rest)
					}
					if !strings.Contains(shown, secret.Redacted) || strings.Count(shown, ".") != before+MaxLine {
						t.Errorf("%d before, pause after %d: %d dots", before, pause, strings.Count(shown, "."))
					}
				})
			}
		}
	}
}

// Where output is left out, what is passed on next does not begin within a secret.
func TestFollowSkipsToTheBeginningOfASecret(t *testing.T) {
	hidden := "QQxx77" + strings.Repeat("-stirring", 100) + "JJvv99"
	synctest.Test(t, func(t *testing.T) {
		log := followHiding(t, knows(hidden))
		for range 4 { // lines without an end, faster than anyone can read
			log.write(strings.Repeat(hidden, (2*maxLag)/len(hidden)))
			after(2 * time.Second)
		}
		log.finish()
		for _, line := range log.lines() {
			if strings.Contains(line, "irr") || strings.Contains(line, "QQxx77") || strings.Contains(line, "JJvv99") {
				t.Fatalf("%.100q", line)
			}
		}
	})
}

// Values that Clean changes are known all the same: in the lines, and in the tail.
func TestSecretsThatCleaningChanges(t *testing.T) {
	pieces := []string{"stirring", " ", "  ", "\t", "\r", "\n", "\b", "\b\b\b", "\x1b[31m", "\x1b]0;t\a", "\u202e", "\u2028", "\x7f", "\"", "\\", "%", "é", "漢", "\u00a0"}
	random := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	for i := range 60 {
		var b strings.Builder
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		hidden := "QQxx77" + b.String() + "JJvv99" + []string{"", " ", "  ", "\t", "\r", "\b"}[i%6]
		start := filepath.Join(dir, "start")
		body := "#!/bin/sh\nprintf '%s\\n' \"$S\"; printf 'key=%s.\\n' \"$S\"; echo $S; printf 'x\\r%s\\r\\n' \"$S\"; printf '%s' \"$S\" >&2; exit 1\n"
		if err := os.WriteFile(start, []byte(body), 0o700); err != nil {
			t.Fatal(err)
		}
		var lines []string
		res, err := Runner{Line: func(line string) { lines = append(lines, line) }, Secrets: knows(hidden)}.Run(t.Context(), Script{
			Path: start, Dir: dir, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "S=" + hidden}, Log: filepath.Join(dir, "log"), Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range append(lines, res.Tail...) {
			if strings.Contains(text, "QQxx77") || strings.Contains(text, "JJvv99") {
				t.Errorf("%q is shown as %q", hidden, text)
			}
		}
		if len(lines) == 0 || len(res.Tail) == 0 {
			t.Errorf("%q: nothing is shown", hidden)
		}
	}
}
