package terminal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"startup-bundle/internal/terminal"
)

// harmful reports what in text could steer a terminal, "" if nothing could.
func harmful(text string) string {
	if !utf8.ValidString(text) {
		return "invalid UTF-8"
	}
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)) {
			return string(r)
		}
	}
	return ""
}

func TestSafe(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"plain":                    {"a b\tc", "a b\tc"},
		"other scripts":            {"Grüße 日本", "Grüße 日本"},
		"escape":                   {"\x1b[2J", "\ufffd[2J"},
		"C1 as UTF-8":              {"a\u009b31m", "a\ufffd31m"},
		"C1 as a byte":             {"a\x9b31m", "a\ufffd31m"},
		"bidi":                     {"a\u202eb\u2066c\u200fd", "a\ufffdb\ufffdc\ufffdd"},
		"delete and NUL":           {"a\x7f\x00", "a\ufffd\ufffd"},
		"Unicode's own line break": {"a\u2028b\u2029c\u0085d", "a\ufffdb\ufffdc\ufffdd"},
		"a joined error":           {errors.Join(errors.New("one"), errors.New("two")).Error(), "one; two"},
		"an indented one":          {"one:\r\n\n\t two\n", "one:; two"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := terminal.Safe(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Characters come in pieces where a buffer is full: the result must not depend on that.
func TestWriterAtEveryCut(t *testing.T) {
	const text = "ä日\U0001f600\x1b[31m\u009b\u202e\x9b\n\xe6\x97 end\xf0\x9f"
	var want string
	for cut := range len(text) + 1 {
		var out bytes.Buffer
		w := terminal.NewWriter(&out)
		for _, part := range []string{text[:cut], text[cut:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
		if cut == 0 {
			want = out.String()
		}
		if out.String() != want {
			t.Errorf("cut at %d: %q, want %q", cut, out.String(), want)
		}
	}
	if !strings.HasPrefix(want, "ä日\U0001f600\ufffd[31m\ufffd\ufffd\ufffd\n") || harmful(want) != "" {
		t.Errorf("got %q", want)
	}
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte("a\x1b\u202e\xf0\x9f"), 3)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		cut = max(0, min(cut, len(text)))
		var out bytes.Buffer
		w := terminal.NewWriter(&out)
		_, _ = w.Write(text[:cut])
		_, _ = w.Write(text[cut:])
		_ = w.End()
		if found := harmful(out.String()); found != "" {
			t.Errorf("%q in the output of %q", found, text)
		}
		if found := harmful(terminal.Safe(string(text))); found != "" {
			t.Errorf("%q in Safe(%q)", found, text)
		}
	})
}

// What a program reads from --json is what was there, unsafe characters included.
func FuzzJSON(f *testing.F) {
	f.Add("\x1b[2J \u009b \u202e \u2028 ä <>&")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		var out bytes.Buffer
		if err := terminal.PrintJSON(&out, map[string]string{"a": text}); err != nil {
			t.Fatal(err)
		}
		if found := harmful(out.String()); found != "" {
			t.Errorf("%q in %q", found, out.String())
		}
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["a"] != text {
			t.Errorf("%q came back as %q, %v", text, back["a"], err)
		}
	})
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestLost(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code int
		says string
	}{
		"no room":         {syscall.ENOSPC, 1, "p: the result could not be written: no space left on device\n"},
		"the reader left": {syscall.EPIPE, 141, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := terminal.NewWriter(failing{test.err})
			if _, err := w.Write([]byte("x")); !errors.Is(err, test.err) {
				t.Errorf("Write: %v", err)
			}
			err := w.End()
			var said bytes.Buffer
			if code := terminal.Lost(err, "p", &said); code != test.code || said.String() != test.says {
				t.Errorf("code %d, said %q", code, said.String())
			}
		})
	}
}

// The words that Quote makes mean the same text to a shell.
func TestQuote(t *testing.T) {
	for _, text := range []string{
		"plain-1.2/x_y@z", "20 db", "it's", "$(touch x)", "`id`", "-rf", "a\tb", "a\u202eb", "%s%n", `back\slash`, "*", "é", "", "s3://b/k:1,2=%3", "=x", "~", "a=~/b",
	} {
		word := terminal.Quote(text)
		if harmful(word) != "" {
			t.Errorf("%q is quoted as %q", text, word)
		}
		out, err := exec.Command("bash", "-c", "printf %s "+word).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q is quoted as %s, which is %q, %v", text, word, out, err)
		}
	}
}
