package module_test

import (
	"strings"
	"testing"
	"time"

	"startup-bundle/internal/module"
	"startup-bundle/internal/strictyaml"

	"github.com/google/go-cmp/cmp"
)

func scalar(s string) *module.Scalar { v := module.Scalar(s); return &v }

func TestParseSpec(t *testing.T) {
	const whole = `
version: 1.2.3-rc.1
summary: a server
os: [debian-12, amzn]
after: [base]
run: every-boot
timeout: 90s
options:
  port: {default: 080, type: int, help: where it listens}
  tls: {default: yes, type: bool}
  level: {default: low, enum: [low, 1.0, no]}
  password: {secret: true, required: true}
  text:
    default: |
      two
      lines
  none: {default: ~}
`
	got, err := module.ParseSpec([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := module.Spec{
		Version: "1.2.3-rc.1", Summary: "a server", OS: []string{"debian-12", "amzn"}, After: []string{"base"}, Run: "every-boot", Timeout: "90s",
		Options: map[string]module.Option{
			"port":     {Default: scalar("080"), Type: "int", Help: "where it listens"},
			"tls":      {Default: scalar("yes"), Type: "bool"},
			"level":    {Default: scalar("low"), Enum: []module.Scalar{"low", "1.0", "no"}},
			"password": {Secret: true, Required: true},
			"text":     {Default: scalar("two\nlines\n")},
			"none":     {},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "---\n", "{}"} {
		if s, err := module.ParseSpec([]byte(empty)); err != nil || !cmp.Equal(s, module.Spec{}) {
			t.Errorf("%q: %+v, %v", empty, s, err)
		}
	}
}

func TestParseSpecOfWindows(t *testing.T) {
	got, err := module.ParseSpec([]byte("\ufeffsummary: a\tb\r\noptions:\r\n  a: {default: \"\\ud83d\\ude00\"}\r\n  b: {default: 007}\r\n  c: {default: }\r\n"))
	want := module.Spec{Summary: "a\tb", Options: map[string]module.Option{
		"a": {Default: scalar("😀")}, "b": {Default: scalar("007")}, "c": {},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestParseSpecRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"an unknown field":              {"edition: 1.0.0", "edition"},
		"an unknown field of an option": {"options: {a: {dflt: 1}}", "dflt"},
		"a list for a value":            {"options: {a: {default: [1]}}", "line 1, column 24: options.a.default: takes one value"},
		"a mapping for a value":         {"options: {a: {default: {b: 1}}}", "line 1, column 24: options.a.default: takes one value"},
		"a list":                        {"[1]", "read module.yaml"},
		"broken YAML":                   {"a: [", "read module.yaml"},
		"a merge":                       {"options: {a: &a {help: x}, b: {<<: *a}}", "line 1, column 14: a value starts with one of"},
		"brackets without an end":       {"os: " + strings.Repeat("[", 40_000), "the nesting is too deep"},
		"two documents":                 {"summary: a\n---\nsummary: b", "line 2, column 1: a second YAML document"},
		"a duplicate":                   {"run: once\nrun: once", "run"},
		"too large":                     {"# " + strings.Repeat("x", module.MaxSpec), "larger than"},
		"a version with a v":            {"version: v1.2.3", "not like 1.2.3"},
		"a version of two numbers":      {"version: 1.2", "not like 1.2.3"},
		"an unknown run":                {"run: daily", "every-boot"},
		"a time-out without a unit":     {"timeout: 90", "90s or 30m"},
		"a time-out of nothing":         {"timeout: 0s", "90s or 30m"},
		"a negative time-out":           {"timeout: -1m", "90s or 30m"},
		"an option in capitals":         {"options: {PORT: {}}", "small letters"},
		"an option with a hyphen":       {"options: {max-memory: {}}", "small letters"},
		"an unknown type":               {"options: {a: {type: integer}}", "none of string, int"},
		"a default of another type":     {"options: {a: {type: int, default: x}}", "its default"},
		"a default outside the enum":    {"options: {a: {enum: [b], default: x}}", "its default"},
		"an escape in the summary":      {`summary: "\x1b[31m"`, "moves a terminal's cursor"},
		"a return in the summary":       {`summary: "a\rb"`, "moves a terminal's cursor"},
		"an escape in a system":         {`os: ["\x9b31m"]`, "moves a terminal's cursor"},
		"a mark in a name":              {`after: ["\u202ea"]`, "moves a terminal's cursor"},
		"an escape in a help":           {`options: {a: {help: "\e[0m"}}`, "moves a terminal's cursor"},
		"an escape in an enum":          {`options: {a: {enum: ["\a"]}}`, "moves a terminal's cursor"},
		"an escape in a field":          {`"\x1b[31m": a`, "line 1, column 1: is not a known field"},
		"an escape in an option":        {`options: {"\x1b[31m": {}}`, "small letters"},
		"an escape in a version":        {`version: "\x1b[31m"`, "not like 1.2.3"},
		"an escape in a run":            {`run: "\x1b[31m"`, "every-boot"},
		"an escape in a time-out":       {`timeout: "\x1b[31m"`, "90s or 30m"},
		"an escape in a type":           {`options: {a: {type: "\x1b[31m"}}`, "none of string"},
		"a limit of a text":             {`options: {a: {min: 1}}`, "option a: min is for the types int and port"},
		"a limit that is not a number":  {`options: {a: {type: int, max: many}}`, "its max is not a whole number"},
		"limits the wrong way round":    {`options: {a: {type: int, min: 2, max: 1}}`, "its min is above its max"},
		"a default beyond the limit":    {`options: {a: {type: port, default: 70000}}`, "option a: its default is \"70000\": give a port from 1 to 65535"},
		"an escape in a default":        {`options: {a: {type: int, default: "\x1b[31m"}}`, "give a whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := module.ParseSpec([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err != nil && strings.ContainsFunc(err.Error(), strictyaml.Control) {
				t.Errorf("the error moves a terminal's cursor: %q", err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	spec := module.Spec{Options: map[string]module.Option{
		"port":       {Default: scalar("80"), Type: "int"},
		"max_memory": {Type: "size"},
		"wait":       {Type: "duration"},
		"tls":        {Type: "bool"},
		"level":      {Enum: []module.Scalar{"low", "high"}},
		"password":   {Secret: true},
		"pin":        {Secret: true, Type: "int"},
		"listen":     {Type: "port"},
		"share":      {Type: "int", Min: scalar("0"), Max: scalar("100")},
		"empty":      {Default: scalar("")},
	}}
	for name, tt := range map[string]struct {
		given   map[string]module.Scalar
		env     map[string]string
		secrets []string
		err     string
	}{
		"defaults alone": {nil, map[string]string{"OPT_PORT": "80", "OPT_EMPTY": ""}, nil, ""},
		"all given": {
			map[string]module.Scalar{"port": "-1", "max_memory": "512MiB", "wait": "1m30s", "tls": "On", "level": "high", "password": "p w", "empty": "x"},
			map[string]string{"OPT_PORT": "-1", "OPT_MAX_MEMORY": "512MiB", "OPT_WAIT": "1m30s", "OPT_TLS": "On", "OPT_LEVEL": "high", "OPT_PASSWORD": "p w", "OPT_EMPTY": "x"},
			[]string{"OPT_PASSWORD"},
			"",
		},
		"emptied":             {map[string]module.Scalar{"port": ""}, map[string]string{"OPT_PORT": "", "OPT_EMPTY": ""}, nil, ""},
		"undeclared":          {map[string]module.Scalar{"prot": "1"}, nil, nil, `option prot is not declared in module.yaml; did you mean port?`},
		"not an int":          {map[string]module.Scalar{"port": "http"}, nil, nil, `option port is "http": give a whole number`},
		"an int too large":    {map[string]module.Scalar{"port": "99999999999999999999"}, nil, nil, "give a whole number"},
		"not a size":          {map[string]module.Scalar{"max_memory": "much"}, nil, nil, "give a size such as 512m or 2g"},
		"not a duration":      {map[string]module.Scalar{"wait": "5"}, nil, nil, "give a duration such as"},
		"not a bool":          {map[string]module.Scalar{"tls": "maybe"}, nil, nil, "give true or false"},
		"not in the enum":     {map[string]module.Scalar{"level": "mid"}, nil, nil, "give one of low, high"},
		"emptied enum":        {map[string]module.Scalar{"level": ""}, nil, nil, "give one of low, high"},
		"a port too high":     {map[string]module.Scalar{"listen": "99999"}, nil, nil, `option listen is "99999": give a port from 1 to 65535`},
		"port zero":           {map[string]module.Scalar{"listen": "0"}, nil, nil, "give a port from 1 to 65535"},
		"below the least":     {map[string]module.Scalar{"share": "-1"}, nil, nil, "give a whole number from 0 to 100"},
		"above the most":      {map[string]module.Scalar{"share": "101"}, nil, nil, "give a whole number from 0 to 100"},
		"a typing error":      {map[string]module.Scalar{"level": "hihg"}, nil, nil, "did you mean high?"},
		"a secret":            {map[string]module.Scalar{"pin": "hunter"}, nil, nil, "option pin has a value that is not allowed: give a whole number"},
		"all at once":         {map[string]module.Scalar{"port": "x", "tls": "y", "prot": "z"}, nil, nil, `option prot is not declared in module.yaml; did you mean port?; option port is "x": give a whole number; option tls is "y": give true or false`},
		"a NUL":               {map[string]module.Scalar{"port": "8\x000"}, nil, nil, "NUL"},
		"a NUL in a password": {map[string]module.Scalar{"password": "hunter\x002"}, nil, nil, "option password holds a NUL byte"},
	} {
		t.Run(name, func(t *testing.T) {
			env, secrets, err := spec.Resolve(tt.given)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || env != nil || strings.Contains(err.Error(), "hunter") {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.env, env); diff != "" || err != nil || !cmp.Equal(tt.secrets, secrets) {
				t.Errorf("%v, secrets %v (-want +got):\n%s", err, secrets, diff)
			}
		})
	}
	required := module.Spec{Options: map[string]module.Option{"a": {Required: true, Help: "the address"}}}
	for _, given := range []map[string]module.Scalar{nil, {"a": ""}} {
		if _, _, err := required.Resolve(given); err == nil || err.Error() != "option a is required: the address" {
			t.Errorf("%v: %v", given, err)
		}
	}
	if _, _, err := (module.Spec{}).Resolve(map[string]module.Scalar{"a": "1"}); err == nil || !strings.Contains(err.Error(), "declares none") {
		t.Errorf("no options: %v", err)
	}
}

func TestParseTimeout(t *testing.T) {
	if d, err := module.ParseTimeout(""); d != module.DefaultTimeout || err != nil {
		t.Errorf("%v, %v", d, err)
	}
	if d, err := module.ParseTimeout("1h30m"); d != 90*time.Minute || err != nil {
		t.Errorf("%v, %v", d, err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "web", "rabbitmq-3", strings.Repeat("a", module.MaxName)} {
		if err := module.CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "A", "1a", "-a", "a_b", "a.b", "a/b", "..", "a b", "a\n", "é", strings.Repeat("a", module.MaxName+1)} {
		if module.CheckName(name) == nil {
			t.Errorf("%q is a module name", name)
		}
	}
	for name, want := range map[string]bool{"A": true, "_a1": true, "": false, "1A": false, "A=B": false, "A B": false, "A\n": false, "A\x00": false} {
		if module.IsEnvName(name) != want {
			t.Errorf("IsEnvName(%q) is not %v", name, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, text := range []string{
		"version: 1.2.3\nrun: once\ntimeout: 1m\n", "options:\n  a: {default: 007, type: int}\n  b: {enum: [x, y], secret: true}\n",
		"options: {a: {default: [1]}}", "a: &x [*x]", "%YAML 1.2\n---\n", "? a\n: b\n", "options: {a: {default: !!binary x}}", "<<: {run: once}", "os: !PPP x}}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		spec, err := module.ParseSpec(text)
		if err != nil {
			return
		}
		given := map[string]module.Scalar{}
		for name, o := range spec.Options {
			if o.Required {
				given[name] = "1"
			}
		}
		env, _, err := spec.Resolve(given)
		for name := range env {
			if err != nil || !module.IsEnvName(name) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}
