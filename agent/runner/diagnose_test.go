package runner

import (
	"strings"
	"testing"
)

func FuzzShebang(f *testing.F) {
	for _, seed := range []string{"#!/bin/sh\n", "#! /usr/bin/env  -S A=b python3 -u\necho", "#!/bin/bash\r\n", "#!", "#!\t\n", "\x7fELF", "#!/a b c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, start []byte) {
		interpreter, arg, ok := shebang(start)
		if ok != (interpreter != "") || strings.ContainsAny(interpreter, " \t\n") || strings.Trim(arg, " \t") != arg {
			t.Fatalf("%q gave %q and %q, %v", start, interpreter, arg, ok)
		}
		if !strings.Contains(string(start), interpreter) || !strings.Contains(string(start), arg) {
			t.Fatalf("%q does not hold %q and %q", start, interpreter, arg)
		}
		if command := envCommand(arg); strings.ContainsAny(command, " \t=") {
			t.Fatalf("%q gave the command %q", start, command)
		}
	})
}
