package runner_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"startup-bundle/agent/runner"
)

func TestClean(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain text", "Setting up nginx (1.22.1-9) ...", "Setting up nginx (1.22.1-9) ..."},
		{"unicode", "größer → 日本 👩‍🔧", "größer → 日本 👩‍🔧"},
		{"tabs inside", "a\tb", "a\tb"},
		{"line ends and spaces at the end", "a \t\r\r\n", "a"},
		{"nothing", "", ""},
		{"colours", "\x1b[1;31merror\x1b[0m: no", "error: no"},
		{"a window title", "\x1b]0;title\x07text \x1b]8;;http://x\x1b\\link", "text link"},
		{"a title that never ends", "\x1b]0;title", "0;title"},
		{"a character set and a reset", "\x1b(Ba\x1bcb", "ab"},
		{"a sequence cut off", "a\x1b[1;3", "a"},
		{"escape alone", "a\x1b", "a"},
		{"escape before a control byte", "a\x1b\x01b", "a\uFFFDb"},
		{"a progress bar", "  5%\r 50%\r100%\n", "100%"},
		{"a progress bar that erased itself", " 50%\r100%\r\x1b[K  \r\n", "100%"},
		{"a spinner", "wait |\b/\b-\bdone", "wait done"},
		{"backspace over a wide rune", "aé\bb", "ab"},
		{"backspace at the start", "\b\ba", "a"},
		{"bytes that are no UTF-8", "a\xff\xfe\x80b", "a\uFFFDb"},
		{"a NUL and a bell", "a\x00b\x07c", "a\uFFFDb\uFFFDc"},
		{"C1 controls, also raw", "a\u009b31mb\x9b", "a\uFFFD31mb\uFFFD"},
		{"text that runs backwards", "a\u202etxt.exe", "a\uFFFDtxt.exe"},
		{"line ends of Unicode", "a\u2028b\u0085c", "a\uFFFDb\uFFFDc"},
		{"a newline inside", "a\nb", "a\uFFFDb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := runner.Clean([]byte(test.in)); got != test.want {
				t.Errorf("%q became %q, want %q", test.in, got, test.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b[31mred\x1b[0m\n", "5%\r100%\r\n", "\x1b]0;t\x07x", "a\b\bé\b", "\xff\x00\x9b", "\u202e\u2028\ufffd"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := runner.Clean(in)
		if !utf8.ValidString(out) || len(out) > 2*len(in)+1 {
			t.Fatalf("%q became %q", in, out)
		}
		if strings.ContainsFunc(out, func(r rune) bool {
			return r != '\t' && unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
		}) {
			t.Fatalf("%q became %q, which is not safe", in, out)
		}
		if again := runner.Clean([]byte(out)); again != out {
			t.Fatalf("%q became %q and then %q", in, out, again)
		}
	})
}
