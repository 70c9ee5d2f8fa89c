package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"startup-bundle/agent/journal"
	"startup-bundle/internal/secret"
	"startup-bundle/internal/terminal"
)

// words are what the log itself is made of: any may be somebody's passphrase.
func words() []string {
	return []string{
		"time", "level", "msg", "phase", "module", "line", "error", "state", "info", "warn", "debug", "succeeded", "failed", "pending",
		"running", "skipped", "interrupted", "2026", "2026-11-27", "T12:", "duration", "exit_code", "bundle", "userdata", "modules", "report",
		"output", "agent", "started", "ended", "agent started", "module started", "module ended", "run succeeded", "run failed", "phase started",
		"result", "result=", "startup-agent", "redacted", "[redacted]", "acte", "true", "false", "null", "1234", "0.5", "web", "db-server",
		`":"`, `","`, `{"`, `"}`, `\\`, `\"`, `\n`, "u003c", ":00.000Z", "boot_id", "log_offset", "place", "attempt", "tail", "reason", "name",
	}
}

// write logs a short run of a module db-server that prints text.
func write(j *journal.Journal, text string) {
	j.Info(journal.MessageStarted, zap.String("version", "1.0"), zap.String(journal.KeyBootID, "1234"), zap.Float64(journal.KeyUptime, 0.5))
	j.Info(journal.MessagePhaseStarted, zap.String(journal.KeyPhase, "modules"))
	m := j.With(zap.String(journal.KeyPhase, "modules"), zap.String(journal.KeyModule, "db-server"))
	m.Info(journal.MessageModuleStarted, zap.Int("attempt", 1), zap.String("place", "1/1"), zap.Int64(journal.KeyOffset, 1234))
	m.Info(journal.MessageOutput, zap.String(journal.KeyLine, text))
	m.Error(journal.MessageModuleEnded, zap.String("state", "failed"), zap.Duration("duration", time.Second/2), zap.Int("exit_code", 2026), zap.String("error", text))
	j.Error(journal.MessageFailed, zap.Int("exit_code", 15), zap.Duration("duration", time.Second/2), zap.String(journal.KeyPhase, "modules"),
		zap.String("bundle", "web"), zap.String("error", text))
}

// shape is a log without its times and free text.
func shape(t *testing.T, log []byte) (all []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(fields[journal.KeyTime])); err != nil {
			t.Errorf("no time: %s", line)
		}
		delete(fields, journal.KeyTime)
		if _, ok := fields[journal.KeyUptime].(float64); ok {
			delete(fields, journal.KeyUptime)
		}
		delete(fields, journal.KeyLine)
		delete(fields, "error")
		all = append(all, fields)
	}
	return all
}

func TestASecretThatIsAWordOfTheLogLeavesTheLogWhole(t *testing.T) {
	device := func() string {
		path := filepath.Join(t.TempDir(), "console")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(text string, secrets ...string) (log, console []byte) {
		at := device()
		j, path, _ := open(t, at)
		for _, s := range secrets {
			j.Add(secret.New(s))
		}
		write(j, text)
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if console, err = os.ReadFile(at); err != nil {
			t.Fatal(err)
		}
		return log, console
	}
	plain, _ := run("x")
	want := shape(t, plain)
	check := func(secrets ...string) {
		t.Helper()
		log, console := run("before "+secrets[0]+" after", secrets...)
		if diff := cmp.Diff(want, shape(t, log)); diff != "" {
			t.Errorf("%q: %s", secrets, diff)
		}
		if !bytes.Contains(console, []byte("startup-agent: result=failed exit_code=15 bundle=web duration=0.5s\r\n")) {
			t.Errorf("%q: no result on the console: %s", secrets, console)
		}
		for line := range bytes.Lines(log) {
			e, ok := journal.ParseEvent(line)
			if !ok {
				t.Fatalf("%q: %s", secrets, line)
			}
			shown := e.Text(journal.KeyLine) + e.Text("error")
			if rest := strings.ReplaceAll(shown, secret.Redacted, ""); len(secrets[0]) >= 4 && strings.Contains(rest, secrets[0]) {
				t.Errorf("%q: shown in %s", secrets, line)
			}
		}
	}
	for _, word := range words() {
		check(word)
		check(word, "before", "[red")
	}
	check(words()...)
}

// pieces are what awkward secrets are made of.
var pieces = []string{
	"Zebra-4711", "pass", "word", " ", "  ", "\t", "\r", "\n", "\r\n", "\b", "\b\b", "\x1b[31m", "\x1b]0;t\a", "\u202e", "\u200f", "\u2028", "\x7f", "\x00",
	`"`, `\`, "'", "&", "<b>", "%41", "+", "/", "=", "é", "漢字", "\u00a0", "[redacted]", "-----", "{}", `\n`, "$(id)", "true", "2026",
}

func awkward(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(7) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// python writes JSON as json.dumps does.
func python(text string) string {
	quoted, _ := json.Marshal(text)
	for _, plain := range []string{"<", ">", "&"} {
		quoted = bytes.ReplaceAll(quoted, fmt.Appendf(nil, `\u%04x`, plain[0]), []byte(plain))
	}
	var b strings.Builder
	for _, r := range string(quoted) {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Whatever form of a secret is printed, no part of it of four letters is left.
func TestEveryFormOfASecretIsReplaced(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		blanks := []string{"", " ", "\t", "  ", "\r"}
		hidden := blanks[random.IntN(len(blanks))] + "QQxx77" + awkward(random) + "JJvv99" + blanks[random.IntN(len(blanks))]
		r := journal.NewRedactor()
		r.Add(secret.New(hidden), secret.New(words()[random.IntN(len(words()))]))
		quoted, err := json.Marshal(hidden)
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string]string{
			"as it is": hidden, "trimmed": strings.TrimSpace(hidden), "unquoted in a shell": strings.Join(strings.Fields(hidden), " "),
			"JSON": string(quoted), "JSON of Python": python(hidden), "%q": fmt.Sprintf("%q", hidden), "on a terminal": terminal.Safe(hidden),
		}
		for name, form := range forms {
			for _, text := range []string{form, "key=" + form + " ok", form + form, "\x1b[1m" + form + "\x1b[0m"} {
				if got := r.String(text); strings.Contains(got, "QQxx77") || strings.Contains(got, "JJvv99") {
					t.Fatalf("%s of %q: %q", name, hidden, got)
				}
				if once := r.String(text); r.String(once) != once {
					t.Fatalf("%q is replaced once more: %q", text, once)
				}
			}
		}
		entry, err := json.Marshal(map[string]any{"line": hidden, "error": fmt.Sprintf("%q", hidden), "list": []string{hidden}, "any": map[string]string{"time": "x", "k": hidden}})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.JSON(entry); !json.Valid(got) || bytes.Contains(got, []byte("QQxx77")) || bytes.Contains(got, []byte("JJvv99")) {
			t.Fatalf("JSON of %q: %s", hidden, got)
		}
	}
}

func TestOverlappingSecretsLeaveNoRest(t *testing.T) {
	r := journal.NewRedactor()
	r.Add(secret.New("abcdefgh"), secret.New("efghijkl"), secret.New("cdef"), secret.New("aaaa"))
	for text, want := range map[string]string{
		"abcdefghijkl": "[redacted]", "xcdefx": "x[redacted]x", "aaaaaaa.": "[redacted].", "efghijklabcdefgh": "[redacted][redacted]", "abcd": "abcd",
		"[redacted]": "[redacted]", "abcdefg": "ab[redacted]g",
	} {
		if got := r.String(text); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestBlanksAreNoSecret(t *testing.T) {
	r := journal.NewRedactor()
	r.Add(secret.New("        "), secret.New("\t\n\r\n"), secret.New("abc"), secret.New("7"))
	const text = "        indented abc 7\t\n\r\n"
	if got := r.String(text); got != text {
		t.Errorf("%q", got)
	}
}

// A line may be cut anywhere but within a secret.
func TestCut(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	secrets := []string{"stirringdullroots", "rootsandmore", "dull words  ", strings.Repeat("long", 200)}
	r := journal.NewRedactor()
	for _, s := range secrets {
		r.Add(secret.New(s))
	}
	identity := "AGE-SECRET-KEY-1" + strings.Repeat("QQ", 29)
	for range 500 {
		var b strings.Builder
		for range 1 + random.IntN(6) {
			b.WriteString(strings.Repeat(".", random.IntN(30)))
			b.WriteString(slices.Concat(secrets, []string{identity, ""})[random.IntN(len(secrets)+2)])
		}
		b.WriteString(".")
		text, shown := []byte(b.String()), ""
		for rest := text; len(rest) > 0; {
			n := len(rest)
			if at := 1 + random.IntN(40); at < len(rest) {
				n = r.Cut(rest, at)
			}
			if n <= 0 || n > len(rest) {
				t.Fatalf("cut at %d of %d", n, len(rest))
			}
			shown += r.String(string(rest[:n]))
			rest = rest[n:]
		}
		left := strings.Trim(strings.ReplaceAll(shown, secret.Redacted, ""), ".")
		if left != "" {
			t.Fatalf("%q leaves %q", text, left)
		}
	}
	// The rest of it is still to come.
	for text, want := range map[string]int{"...stirringdull": 3, "stirringdull": 0, "stirringdullroots.": 18, "stirringdullroots": 0, "..s": 2, "....": 4, "..AGE-SECRET-KEY-1QQ": 2} {
		if got := r.Cut([]byte(text), len(text)); got != want {
			t.Errorf("%q is cut at %d, not %d", text, got, want)
		}
	}
}

func FuzzRedactJSON(f *testing.F) {
	f.Add(`{"a":"b","time":"b"}`, "stirring")
	f.Add(`{"a":["\u0062\\",{"b":1e5}]} {"x`, "a\"b\\")
	f.Fuzz(func(t *testing.T, text, hidden string) {
		r := journal.NewRedactor()
		r.Add(secret.New(hidden))
		got := r.JSON([]byte(text))
		if json.Valid([]byte(text)) && !json.Valid(got) {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}
