// Package module is the contract between a module and what runs it: its files,
// names, options, environment and exit codes.
package module

import (
	"fmt"
	"regexp"
)

// Files of a module's folder. Only Start is required.
const (
	Start       = "start"       // executable, any language, idempotent
	StartShell  = "start.sh"    // in archives without a manifest: run by bash, needs no exec bit
	Check       = "check"       // executable: 0 is good, ExitSkipped does not apply
	SpecFile    = "module.yaml" // see Spec
	ReadmeFile  = "README.md"
	LibraryFile = "lib.sh" // beside the modules: the shell library that STARTUP_LIB names
)

// When a module runs.
const (
	RunOnce      = "once"       // once for each instance and userdata
	RunEveryBoot = "every-boot" // again at each boot
)

// What happens to the modules after one that failed.
const (
	OnFailureStop     = "stop"
	OnFailureContinue = "continue"
)

// Exit codes of start that are not plain failure. 75 is EX_TEMPFAIL of
// sysexits.h, 77 the skip of automake's tests, 194 the reboot of AWS Systems
// Manager's Run Command.
const (
	ExitDone    = 0
	ExitRetry   = 75
	ExitSkipped = 77
	ExitReboot  = 194
)

// The environment of every script, beside PATH, HOME and its options.
const (
	EnvModule       = "STARTUP_MODULE"        // its name
	EnvModuleDir    = "STARTUP_MODULE_DIR"    // its folder, absolute; also the working directory
	EnvStateDir     = "STARTUP_STATE_DIR"     // a folder of its own that outlives the bundle
	EnvLib          = "STARTUP_LIB"           // the shell library
	EnvBundle       = "STARTUP_BUNDLE"        // the bundle's name
	EnvAttempt      = "STARTUP_ATTEMPT"       // 1 at the first try
	EnvInstanceID   = "STARTUP_INSTANCE_ID"   // empty where there is no metadata, as below
	EnvInstanceType = "STARTUP_INSTANCE_TYPE" //
	EnvRegion       = "STARTUP_REGION"        //
	EnvZone         = "STARTUP_AZ"            //
)

// OptionPrefix starts the environment variable of an option: max_memory is
// OPT_MAX_MEMORY.
const OptionPrefix = "OPT_"

// MaxName is the longest module name, in bytes.
const MaxName = 40

const (
	nameForm    = `^[a-z][a-z0-9-]*$`
	envNameForm = `^[A-Za-z_][A-Za-z0-9_]*$`
)

// CheckName reports why name cannot be a module's. Names become folders, log
// files and arguments, so they are plain: small letters, digits and hyphens.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a module's name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("module name %.20q… is longer than %d bytes", name, MaxName)
	case !matches(nameForm, name):
		return fmt.Errorf("module name %q: use small letters, digits and hyphens, a letter first", name)
	}
	return nil
}

// IsEnvName reports whether name can be set in an environment.
func IsEnvName(name string) bool { return matches(envNameForm, name) }

// matches reports whether text has a form. Forms are compiled where one is asked
// for: that is seldom, and each start of a program would pay for all of them.
func matches(form, text string) bool { return regexp.MustCompile(form).MatchString(text) }
