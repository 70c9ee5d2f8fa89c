package modules_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOption(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, declared, given, want string // want: the value, or "refused: …" with part of the error
	}{
		{"default", "int 80 1 65535", "", "80"},
		{"empty default stays empty", "int '' 1 65535", "", ""},
		{"required and missing", "path", "", "refused: option x is required: give an absolute path"},
		{"required and given", "path", "/data", "/data"},

		{"int", "int 80 1 65535", "443", "443"},
		{"int with a leading zero is decimal", "int 80 1 65535", "0080", "80"},
		{"int above", "int 80 1 65535", "65536", "refused: option x: \"65536\" is not allowed: give a whole number from 1 to 65535"},
		{"int below", "int 80 1 65535", "0", "refused: from 1 to 65535"},
		{"int huge", "int 80 1 65535", "99999999999999999999", "refused: from 1 to 65535"},
		{"int not a number", "int 80 1 65535", "80;reboot", "refused: from 1 to 65535"},
		{"int negative", "int 80 1 65535", "-1", "refused: from 1 to 65535"},
		{"int without bounds", "int 5", "7", "7"},

		{"bool yes", "bool false", "Yes", "true"},
		{"bool off", "bool true", "off", "false"},
		{"bool other", "bool true", "maybe", "refused: give true or false"},

		{"enum", "enum a a b", "b", "b"},
		{"enum other", "enum a a b", "c", "refused: \"c\" is not allowed: give one of: a b"},
		{"enum part of a word", "enum a abc", "b", "refused: one of: abc"},

		{"match", "match '' '[a-z]+' 'small letters'", "abc", "abc"},
		{"match is of the whole value", "match '' '[a-z]+' 'small letters'", "abc1", "refused: give small letters"},
		{"match alternatives is of the whole value", "match '' 'a|b' 'a or b'", "ab", "refused: give a or b"},
		{"match one line only", "match '' '.*' 'a line'", "a\nb", "refused: give a line"},

		{"size", "size 1g", "512m", "512m"},
		{"size with a fraction", "size 1g", "1.5g", "refused: give a size such as"},
		{"duration", "duration 1m", "1h30m", "1h30m"},
		{"duration with days", "duration 1m", "2d", "refused: give a duration"},

		{"path climbing", "path /", "/a/../b", "refused: without .."},
		{"path ending in dots", "path /", "/a/..", "refused: without .."},
		{"path with dots in a name", "path /", "/a..b", "/a..b"},
		{"path relative", "path /", "a", "refused: an absolute path"},
		{"path with a space", "path /", "/a b", "refused: an absolute path"},
		{"path with a newline", "path /", "/a\nb", "refused: an absolute path"},

		{"name", "name ''", "_web-1", "_web-1"},
		{"name with a capital", "name ''", "Web", "refused: small letters"},
		{"name too long", "name ''", strings.Repeat("a", 33), "refused: 32 at most"},
		{"address v4", "address ''", "10.0.0.1", "10.0.0.1"},
		{"address v6", "address ''", "::1", "::1"},
		{"address with more", "address ''", "10.0.0.1 -x", "refused: an IP address"},
		{"words", "words ''", "a-b c.d", "a-b c.d"},
		{"words with a quote", "words ''", "a'b", "refused: separated by spaces"},
		{"text", "text ''", "any $(text) here", "any $(text) here"},
		{"text with a newline", "text ''", "a\nb", "refused: one line"},
		{"lines", "lines ''", "a\n\tb", "a\n\tb"},
		{"lines with an escape", "lines ''", "a\x1b[1m", "refused: lines of text"},
		{"secret", "secret ''", "a b", "a b"},
		{"an unknown kind", "number 1", "1", "refused: no option kind number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, debian12)
			h.env = []string{"OPT_X=" + test.given}
			got := h.run("option x " + test.declared + "\nprintf '[%s]' \"$OPT_X\" >$R/value\n")
			if reason, refused := strings.CutPrefix(test.want, "refused: "); refused {
				if got.code != 1 || h.exists("value") {
					t.Errorf("exit code %d, went on: %v", got.code, h.exists("value"))
				}
				wantIn(t, got.stderr, reason)
				return
			}
			if got.code != 0 {
				t.Fatalf("exit code %d: %s", got.code, got.stderr)
			}
			if diff := cmp.Diff("["+test.want+"]", h.read("value")); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptionNeverShowsASecret(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.env = []string{"OPT_PASSWORD=hunter2\nmore"}
	got := h.want(1, "option password secret ''")
	wantIn(t, got.stderr, "option password: this value is not allowed")
	wantNotIn(t, got.stdout+got.stderr, "hunter2")
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	got := newHost(t, debian12).want(0, `
for size in 0 512 64k 512M 2g 1T 08; do to_bytes $size; done
for duration in 90 30s 10m 1h30m 09s; do to_seconds $duration; done`)
	want := "0\n512\n65536\n536870912\n2147483648\n1099511627776\n8\n90\n30\n600\n5400\n9\nchanges: 0\n"
	if diff := cmp.Diff(want, got.stdout); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	newHost(t, debian12).want(0, `
is_loopback 127.0.0.1 -::1 localhost
! is_loopback 127.0.0.1 10.0.0.1
! is_loopback 0.0.0.0
! is_loopback 1127.0.0.1`)
}
