package document_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/document"
	"startup-bundle/internal/secret"
)

const (
	digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	head   = document.Magic + "\nurl: https://bucket.example/web.bundle\n"
)

func minimal() document.Document {
	return document.Document{
		URLs: []string{"https://bucket.example/web.bundle"},
		Run:  document.Once, Timeout: time.Hour,
	}
}

func TestParse(t *testing.T) {
	full := document.Document{
		URLs: []string{"https://a.example/w?X-Amz-Signature=ab", "s3://bucket/w", "http://10.0.0.1:8080/w", "file:///var/w"},
		Key:  secret.New("stirringdullroots"), SHA256: digest,
		OnFailure: document.Continue, Run: document.EveryBoot, Timeout: 90 * time.Minute, OpenSSLIterations: 10000,
		Env: map[string]string{"ROLE": "web", "http_proxy": "http://p:3128", "EMPTY": "", "N": "007", "LINES": "a\nb\n"},
	}
	keyFrom := minimal()
	keyFrom.KeyFrom = "ssm:/web/bundle-key"
	tests := map[string]struct {
		text string
		want document.Document
	}{
		"one address": {head, minimal()},
		"every field": {
			document.Magic + `
url:
  - https://a.example/w?X-Amz-Signature=ab
  - s3://bucket/w
  - http://10.0.0.1:8080/w
  - file:///var/w
key: stirringdullroots   # passphrase
sha256: SHA256:` + strings.ToUpper(digest) + `
on_failure: continue
run: every-boot
timeout: 1h30m
openssl_iterations: 10000
env:
  ROLE: web
  http_proxy: http://p:3128
  EMPTY: ""
  N: 007
  LINES: |
    a
    b
`, full,
		},
		"json": {
			`{"url": ["https://bucket.example/web.bundle"], "key_from": "ssm:/web/bundle-key"}`, keyFrom,
		},
		"json indented with tabs": {
			"{\n\t\"url\": [\n\t\t\"https://bucket.example/web.bundle\"\n\t],\n\t\"key_from\": \"ssm:/web/bundle-key\"\n}\n", keyFrom,
		},
		"crlf":                   {strings.ReplaceAll(head+"key_from: ssm:/web/bundle-key\n", "\n", "\r\n"), keyFrom},
		"header and end markers": {document.Magic + "\n---\nurl: https://bucket.example/web.bundle\n...\n", minimal()},
		"no magic line":          {"url: https://bucket.example/web.bundle", minimal()},
		"leading blank lines":    {"\n\n" + head, minimal()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := document.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Equal(tt.want) {
				t.Error(cmp.Diff(tt.want, got))
			}
		})
	}
}

// A passphrase is what was written, whatever YAML would make of it.
func TestParseKeyIsLiteral(t *testing.T) {
	for written, want := range map[string]string{
		"12345": "", "0123": "", "007": "", "0": "", "-0": "", "+7": "", "1e5": "", "1_000": "", "0x1F": "", "0o17": "", "0b11": "",
		"1.50": "", "1.": "", ".5": "", ".inf": "", "-.inf": "", ".nan": "", ".NaN": "", "yes": "", "no": "", "on": "", "true": "",
		"True": "", "FALSE": "", "2026-11-22": "", "12:30:45": "", "1e400": "", "99999999999999999999999999": "", "123abc": "", "a#b": "",
		"0x": "", "0o9": "", "08": "", "1__0": "", "=": "", "a b  c": "", "p@ss:w0rd!": "", "ключ": "",
		`"null"`: "null", `"~"`: "~", `'it''s'`: "it's", `"a\"b\\"`: `a"b\`, `" x "`: " x ", `"\u00e9"`: "é", `"&a"`: "&a", `'%x'`: "%x",
		`"007"`: "007", `'1e5'`: "1e5",
	} {
		if want == "" {
			want = written
		}
		for _, text := range []string{head + "key: " + written + "\n", head + "key:   " + written + "  # comment", "{url: \"https://b.example/w\", key: " + written + "}"} {
			if strings.HasPrefix(text, "{") && strings.ContainsAny(written, "#:") {
				continue
			}
			got, err := document.Parse([]byte(text))
			if err != nil {
				t.Errorf("key %s: %v", written, err)
			} else if got.Key.Reveal() != want {
				t.Errorf("key %s is read as %q from %q", written, got.Key.Reveal(), text)
			}
		}
	}
}

// A value of env is what YAML says, to the last line break.
func TestParseValuesAreKept(t *testing.T) {
	for written, want := range map[string]string{
		"one\ttwo": "one\ttwo", "\"one\ttwo\"\n  B: x": "one\ttwo", `"\x41\ud83d\ude00"`: "A😀", `'\ud83d\ude00'`: `\ud83d\ude00`,
		"|\n    a\n    b\n": "a\nb\n", "|+\n    a\n\n": "a\n\n", "|+\n    a": "a", "|\n    a": "a", "|-\n    a  \n": "a  ", ">-\n    a  \n": "a  ",
		"|2-\n     a": " a", "|\n    a\n  # b\n": "a\n", "\"a\n    b\"": "a b", "|\n" + strings.Repeat("\n", 30_000) + "    a": strings.Repeat("\n", 30_000) + "a",
	} {
		for _, text := range []string{head + "env:\n  A: " + written, "\ufeff" + strings.ReplaceAll(head+"env:\n  A: "+written, "\n", "\r\n")} {
			if len(text) > document.MaxSize {
				continue
			}
			got, err := document.Parse([]byte(text))
			if err != nil || got.Env["A"] != want {
				t.Errorf("%.60q: %.60q, %v", text, got.Env["A"], err)
			}
		}
	}
}

// Where the one line of a key stands is nobody's business.
func TestParseKeyOnItsOwnLine(t *testing.T) {
	for _, text := range []string{
		"key:\n  stirring dull\n\n\nurl: https://b.example/w\n", "key: # the key\n  stirring dull # here\nurl: https://b.example/w\n",
		"url: https://b.example/w\nkey:\n\n  \"stirring dull\"\n\n# end\n", "{\n \"key\":\n  \"stirring dull\"\n, \"url\": \"https://b.example/w\"}",
		"url: https://b.example/w\nkey: |-\n  stirring dull\n", "url: https://b.example/w\nkey: >-\n  stirring dull\n",
		"url: https://b.example/w\nkey: 'stirring dull' #here\n", "url: https://b.example/w #here\nkey: stirring dull\n#here\nrun: once #here\n",
		"url: https://b.example/w\nkey: stirring dull #\n", "url: https://b.example/w\nkey: stirring dull ## here\n",
		"  url: https://b.example/w\n  key:    stirring dull   \n",
	} {
		got, err := document.Parse([]byte(text))
		if err != nil || got.Key.Reveal() != "stirring dull" {
			t.Errorf("%q: %q, %v", text, got.Key.Reveal(), err)
		}
	}
}

func TestParseTellsOfTwentyProblems(t *testing.T) {
	_, err := document.Parse([]byte(head + strings.Repeat("x: y\n", 1000)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[20] != "and 980 more problems" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestParseRefuses(t *testing.T) {
	// Every text carries a secret; no error may show it.
	const key = "stirringdullroots"
	withKey := head + "key: " + key + "\n"
	tests := map[string]struct {
		text string
		want string // one line per problem
	}{
		"nothing":       {"", `url: is missing; add "url: https://…", the address of the bundle`},
		"only comments": {"#startup-bundle\n# url\n", `url: is missing; add "url: https://…", the address of the bundle`},
		"only a marker": {"---\n", `url: is missing; add "url: https://…", the address of the bundle`},
		"misspelt field": {
			withKey + "onfailure: stop\n", `line 4, column 1: onfailure: is not a known field; did you mean "on_failure"?`,
		},
		"field with a usual other name": {
			head + "passphrase: " + key, `line 3, column 1: passphrase: is not a known field; did you mean "key"?`,
		},
		"field like no other": {
			withKey + "colour: red\n", `line 4, column 1: colour: is not a known field; known are url, key, key_from, sha256, on_failure, run, timeout, openssl_iterations, env`,
		},
		"age identity in the place of a field": {
			head + "AGE-SECRET-KEY-1QQPQYQSZ: " + key, `line 3, column 1: is not a known field; known are url, key, key_from, sha256, on_failure, run, timeout, openssl_iterations, env`,
		},
		"all problems at once": {
			document.Magic + "\nurl: ftp://h/x\nkey: " + key + "\nkey_from: " + key + "\ntimeout: 3600\nrun: " + key + "\nkey: " + key + "\n",
			"key: and key_from are both given; keep one of them\n" +
				"line 2, column 6: url: has a scheme that is not known; use https, http, s3 or file\n" +
				`line 4, column 11: key_from: does not start with ssm: secretsmanager: kms: or file:; if this is the key itself, the field is "key"` + "\n" +
				"line 5, column 10: timeout: is not a duration; write a number and its unit: 90s, 20m or 1h30m\n" +
				"line 6, column 6: run: has a value that is not known; write once or every-boot\n" +
				"line 7, column 1: key: is given twice; keep one of them",
		},
		"second document":        {withKey + "---\nurl: x\n", `line 4, column 1: a second YAML document begins here; keep one, and remove the "---" line`},
		"document after the end": {withKey + "...\nurl: x\n", `line 5, column 1: a second YAML document begins here; keep one, and remove the "---" line`},
		"tab":                    {withKey + "env:\n\tROLE: " + key, "line 5, column 1: the line is indented with a tab; use spaces"},
		"no space after the colon": {
			"url:https://b.example/" + key, `line 1, column 1: this is not a list of fields; write "url: https://…": a name, a colon, a space, a value`,
		},
		"a list":             {"- url: " + key, `line 1, column 1: this is not a list of fields; write "url: https://…": a name, a colon, a space, a value`},
		"colon in a value":   {head + "key: a: " + key, `line 3, column 7: a value holds ": " or a line is indented too far; put the value in "quotes", or indent it like the line above`},
		"open quote":         {head + "key: \"" + key, `line 3, column 6: a quote is opened and never closed; end the value with the same quote; write \" for one inside "quotes"`},
		"open bracket":       {withKey + "env: {A: " + key, `line 4, column 6: a bracket has no partner; close what is open, and put a comma between values`},
		"no such escape":     {head + "key: \"" + key + "\\xzz\"", `line 3, column 26: a \ in "quotes" starts an escape that YAML does not know; write \\ for a backslash, or use 'single quotes'`},
		"half a pair":        {head + "key: \"" + key + "\\ud83d\"", `line 3, column 26: a \u or \U escape is not a character; write the character itself, or both halves of its pair, as in "\ud83d\ude00"`},
		"UTF-16":             {"\xff\xfeu\x00", "line 1, column 1: this is not UTF-8 text; save the file as UTF-8"},
		"no space, and more": {"url:https://b.example/" + key + "\nkey: " + key, `line 1, column 1: this is not YAML; write "name: value" on each line, with a space after the colon`},
		"alias":              {head + "key: *" + key, `line 3, column 6: a value starts with one of & * ! % ? <<, which mean something to YAML; put the value in "quotes"`},
		"anchor":             {head + "key: &" + key + " x", `line 3, column 6: a value starts with one of & * ! % ? <<, which mean something to YAML; put the value in "quotes"`},
		"tag":                {head + "key: !" + key, `line 3, column 6: a value starts with one of & * ! % ? <<, which mean something to YAML; put the value in "quotes"`},
		"at sign":            {head + "key: @" + key, `line 3, column 6: a value starts with a character that means something to YAML; put the value in "quotes"`},
		"merge":              {withKey + "<<: {run: once}", `line 4, column 1: a value starts with one of & * ! % ? <<, which mean something to YAML; put the value in "quotes"`},
		"control character":  {withKey + "# \x1b[31m", "line 4, column 3: the invisible character U+001B is here; remove it"},
		"zero width":         {withKey + "\ufeff", "line 4, column 1: the invisible character U+FEFF is here; remove it"},
		"latin-1":            {withKey + "# \xe9", "line 4, column 3: this is not UTF-8 text; save the file as UTF-8"},
		"too long":           {withKey + strings.Repeat("#", document.MaxSize), "the document has 32846 bytes, more than 32768; put large data into the bundle"},
		"deep brackets":      {withKey + "env: " + strings.Repeat("[", 40), "line 4, column 22: the nesting is too deep; 16 levels are allowed"},
		"deep list":          {withKey + "env:\n" + strings.Repeat("- ", 40) + "x", "line 5, column 33: the nesting is too deep; 16 levels are allowed"},

		"url empty list":     {"url: []", `line 1, column 6: url: has no value; write "url: https://…"`},
		"url null":           {"url:\n", `line 1, column 1: url: has no value; write "url: https://…"`},
		"url a mapping":      {"url: {a: b}", "line 1, column 6: url: takes an address or a list of addresses"},
		"url no scheme":      {"url: bucket.example/" + key, "line 1, column 6: url: has no scheme; start it with https:// (or http:// s3:// file:///)"},
		"url no host":        {"url: https:///" + key, "line 1, column 6: url: names no host; write https://HOST/PATH"},
		"url s3 no key":      {"url: s3://" + key, "line 1, column 6: url: names a bucket and no object; write s3://BUCKET/KEY"},
		"url space":          {"url: https://h/a b", "line 1, column 6: url: has a space or line break in it; write %20 for a space"},
		"url bad escape":     {"url: https://h/%zz" + key, "line 1, column 6: url: is not an address; look for a bad % escape, port or bracket"},
		"url file":           {"url: file://" + key, "line 1, column 6: url: is not an absolute path; write file:///PATH, with three slashes"},
		"url twice":          {"url: [https://h/a, https://h/a]", "line 1, column 20: url: lists the same address twice; keep one of them"},
		"url many":           {"url: [" + strings.Repeat("https://h/a,", 17) + "]", "line 1, column 6: url: lists 17 addresses, more than 16; keep the nearest mirrors"},
		"key empty":          {head + "key:\n", `line 3, column 1: key: has no value; give one, or remove the line; the word null, if that is meant, needs "quotes"`},
		"key null":           {head + "key: null\n", `line 3, column 1: key: has no value; give one, or remove the line; the word null, if that is meant, needs "quotes"`},
		"key list":           {head + "key: [" + key + "]\n", `line 3, column 6: key: takes one value, not a list or names with values`},
		"key block":          {head + "key: |\n  " + key + "\n", `line 3, column 6: key: has a line break in it; write it on one line, after "key: "`},
		"key with a hash":    {head + "key: a #" + key + "\n", `line 3, column 8: key: a # after a space begins a comment, and is not part of the key; put the key in "quotes", or a space after the #`},
		"key folded":         {head + "key: " + key + "\n  more\n", `line 3, column 6: key: is written over several lines, which YAML joins with spaces; write it on one line`},
		"key folded, quoted": {head + "key: \"" + key + "\n  more\"\n", `line 3, column 6: key: is written over several lines, which YAML joins with spaces; write it on one line`},
		"key file of age":    {head + "key: |\n  # public key: age1\n  AGE-SECRET-KEY-1" + key + "\n", `line 3, column 6: key: holds more than one age identity; keep the line that starts with AGE-SECRET-KEY-, without the comments`},
		"key a recipient":    {head + "key: age1" + strings.Repeat("q", 58), `line 3, column 6: key: is an age recipient, which only encrypts; write the identity that belongs to it: AGE-SECRET-KEY-…`},
		"key_from empty":     {head + "key_from: 'ssm:'", `line 3, column 11: key_from: names nothing after ssm:; add the name, for example ssm:/web/bundle-key`},
		"key_from file":      {head + "key_from: file:" + key, `line 3, column 11: key_from: is not an absolute path; write file:/PATH`},
		"key_from space":     {head + "key_from: 'kms:a b'", `line 3, column 11: key_from: has a space or line break in it; write it on one line`},
		"digest":             {head + "sha256: " + key, `line 3, column 9: sha256: is not a sha256 digest; write the 64 hexadecimal digits that sha256sum prints for the bundle file`},
		"on_failure":         {head + "on_failure: " + key, `line 3, column 13: on_failure: has a value that is not known; write stop or continue`},
		"timeout zero":       {head + "timeout: 0s", `line 3, column 10: timeout: is not over zero; remove the line for the default of one hour`},
		"timeout long":       {head + "timeout: 25h", `line 3, column 10: timeout: is longer than 24h; write 24h or less`},
		"iterations":         {head + "openssl_iterations: 10000001", `line 3, column 21: openssl_iterations: is not a whole number from 1 to 10000000; write what openssl enc -iter was given, or remove the line`},
		"iterations hex":     {head + "openssl_iterations: 0x10", `line 3, column 21: openssl_iterations: is not a whole number from 1 to 10000000; write what openssl enc -iter was given, or remove the line`},
		"env text":           {head + "env: " + key, `line 3, column 6: env: takes names with values; write env: {ROLE: web}`},
		"env name":           {head + "env: {A-B: x}", `line 3, column 7: env: has a name that no variable can have; use letters, digits and _, and no digit first`},
		"env reserved": {head + "env: {PATH: x, OPT_A: x, STARTUP_X: x}", strings.Join([]string{
			`line 3, column 7: env: has a name that the agent sets itself; rename it: STARTUP_…, OPT_…, PATH, HOME and PWD are taken`,
			`line 3, column 16: env: has a name that the agent sets itself; rename it: STARTUP_…, OPT_…, PATH, HOME and PWD are taken`,
			`line 3, column 26: env: has a name that the agent sets itself; rename it: STARTUP_…, OPT_…, PATH, HOME and PWD are taken`,
		}, "\n")},
		"env twice": {head + "env: {A: x, A: y}", `line 3, column 13: env.A: is given twice; keep one of them`},
		"env null":  {head + "env: {A: }", `line 3, column 7: env.A: has no value; write "" for an empty one`},
		"env nul":   {head + `env: {A: "x\0y"}`, `line 3, column 10: env.A: holds a NUL character, which no variable can; remove it`},
		"env list":  {head + `env: {A: [x]}`, `line 3, column 10: env.A: takes one value, not a list or names with values; write it as one text in quotes`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			doc, err := document.Parse([]byte(tt.text))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), key) {
				t.Error("the error quotes the document")
			}
			if !doc.Equal(document.Document{}) {
				t.Error("a refused document came back")
			}
			var one *document.Error
			if !errors.As(err, &one) {
				t.Errorf("%T holds no *document.Error", err)
			}
		})
	}
}

func TestNearMagic(t *testing.T) {
	for line, want := range map[string]bool{
		"#startup_bundle": true, "# Startup-Bundle": true, "startup-bundle:": true, "#start-up-bundle v1": true, "#startup-agent": true,
		"#statup-bundel": true, "#startupbund": true,
		"": false, "#cloud-config": false, "# startup script": false, "#bundle": false, "url: https://b.example/startup-bundle": false,
		"startup-bundle://x": false, "#startup-bundle" + strings.Repeat(" ", 64): false,
	} {
		if got := document.NearMagic(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
