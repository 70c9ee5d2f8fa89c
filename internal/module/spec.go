package module

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"startup-bundle/internal/spelling"
	"startup-bundle/internal/strictyaml"
)

// MaxSpec is the largest module.yaml, in bytes.
const MaxSpec = 64 << 10

// DefaultTimeout is how long a start script may run where neither module.yaml
// nor the personality says.
const DefaultTimeout = 30 * time.Minute

// Spec is module.yaml. Every field is optional.
type Spec struct {
	Version string            `yaml:"version" json:"version,omitempty"` // semantic; needed only to publish
	Summary string            `yaml:"summary" json:"summary,omitempty"` // one line
	OS      []string          `yaml:"os" json:"os,omitempty"`           // ID or ID-VERSION_ID of /etc/os-release; lint and docs
	After   []string          `yaml:"after" json:"after,omitempty"`     // modules that must come earlier; lint only, never reorders
	Run     string            `yaml:"run" json:"run,omitempty"`         // RunOnce (default) or RunEveryBoot
	Timeout string            `yaml:"timeout" json:"timeout,omitempty"` // Go duration
	Options map[string]Option `yaml:"options" json:"options,omitempty"`
}

// Option declares one option of a module.
type Option struct {
	Default  *Scalar  `yaml:"default" json:"default,omitempty"`   // nil: unset
	Type     string   `yaml:"type" json:"type,omitempty"`         // one of OptionTypes; default string
	Enum     []Scalar `yaml:"enum" json:"enum,omitempty"`         // the only values, if given
	Min      *Scalar  `yaml:"min" json:"min,omitempty"`           // of type int: the least; nil: none
	Max      *Scalar  `yaml:"max" json:"max,omitempty"`           // of type int: the most; nil: none
	Required bool     `yaml:"required" json:"required,omitempty"` // must be given, and not be empty
	Secret   bool     `yaml:"secret" json:"secret,omitempty"`     // never shown in a log
	Help     string   `yaml:"help" json:"help,omitempty"`         // one line
}

// OptionTypes are what an option's type may be.
func OptionTypes() []string {
	return []string{"string", "int", "port", "bool", "duration", "size"}
}

// Scalar is a YAML scalar taken literally: 007 stays 007, yes stays yes.
type Scalar string

// ParseSpec reads module.yaml strictly. Its error names line and column.
func ParseSpec(text []byte) (Spec, error) {
	var s Spec
	if err := strictyaml.Decode(text, MaxSpec, &s); err != nil {
		return s, fmt.Errorf("read %s: %w", SpecFile, err)
	}
	return s, s.check()
}

const (
	optionForm  = `^[a-z][a-z0-9_]*$`
	versionForm = `^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`
	sizeForm    = `^[0-9]+([kKmMgGtT]([iI]?[bB])?|[bB]?)?$`
)

func (s Spec) check() error {
	if s.Version != "" && !matches(versionForm, s.Version) {
		return fmt.Errorf("%s: version %q is not like 1.2.3", SpecFile, s.Version)
	}
	if !printable(s.Summary) || !printable(s.OS...) || !printable(s.After...) {
		return fmt.Errorf("%s: summary, os or after holds a character that moves a terminal's cursor: remove it", SpecFile)
	}
	if err := CheckRun(s.Run); err != nil {
		return fmt.Errorf("%s: %w", SpecFile, err)
	}
	if _, err := ParseTimeout(s.Timeout); err != nil {
		return fmt.Errorf("%s: %w", SpecFile, err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		o := s.Options[name]
		if !matches(optionForm, name) {
			return fmt.Errorf("%s: option %q: use small letters, digits and underscores, a letter first", SpecFile, name)
		}
		if !printable(o.Help) || !printable(o.Enum...) {
			return fmt.Errorf("%s: option %s: help or enum holds a character that moves a terminal's cursor: remove it", SpecFile, name)
		}
		if o.Type != "" && !slices.Contains(OptionTypes(), o.Type) {
			return fmt.Errorf("%s: option %s: type %q is none of %s", SpecFile, name, o.Type, strings.Join(OptionTypes(), ", "))
		}
		if _, _, err := o.limits(); err != nil {
			return fmt.Errorf("%s: option %s: %w", SpecFile, name, err)
		}
		if o.Default != nil && *o.Default != "" {
			if err := o.validate(string(*o.Default)); err != nil {
				return fmt.Errorf("%s: option %s: its default %w", SpecFile, name, err)
			}
		}
	}
	return nil
}

// printable reports whether a terminal shows texts as they are: lists and errors
// repeat them, and a module can be a stranger's.
func printable[T ~string](texts ...T) bool {
	return !slices.ContainsFunc(texts, func(text T) bool {
		return strings.ContainsFunc(string(text), func(r rune) bool {
			return strictyaml.Control(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
		})
	})
}

// CheckRun reports whether run is a known policy; empty means RunOnce.
func CheckRun(run string) error {
	switch run {
	case "", RunOnce, RunEveryBoot:
		return nil
	}
	return fmt.Errorf("run is %q: it is %s or %s", run, RunOnce, RunEveryBoot)
}

// ParseTimeout reads a time-out such as 90s or 30m; empty is DefaultTimeout.
func ParseTimeout(text string) (time.Duration, error) {
	if text == "" {
		return DefaultTimeout, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("timeout %q is not a time: write it like 90s or 30m", text)
	}
	return d, nil
}

// Resolve checks the given options against the declared ones, fills in the
// defaults and returns the environment they become, with the names in it whose
// values are secret, sorted. An option that is neither given nor has a default
// stays unset. The error is an [OptionErrors] of all that is wrong; it never holds
// a secret's value.
func (s Spec) Resolve(given map[string]Scalar) (env map[string]string, secrets []string, err error) {
	var wrong OptionErrors
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := s.Options[name]; !ok {
			wrong = append(wrong, OptionError{name, fmt.Sprintf("is not declared in %s%s", SpecFile, s.known(name))})
		}
	}
	env = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		o := s.Options[name]
		value, ok := given[name]
		if !ok && o.Default != nil {
			value, ok = *o.Default, true
		}
		if o.Required && value == "" {
			wrong = append(wrong, OptionError{name, "is required: " + o.Help})
			continue
		}
		if !ok {
			continue
		}
		if value != "" || len(o.Enum) > 0 {
			if err := o.validate(string(value)); err != nil {
				wrong = append(wrong, OptionError{name, err.Error()})
				continue
			}
		}
		key := OptionPrefix + strings.ToUpper(name)
		env[key] = string(value)
		if o.Secret {
			secrets = append(secrets, key)
		}
	}
	if wrong != nil {
		return nil, nil, wrong
	}
	return env, secrets, nil
}

// OptionError is what is wrong with one option of a module.
type OptionError struct {
	Option  string
	Problem string // goes on from the option's name: is required
}

func (e OptionError) Error() string { return fmt.Sprintf("option %s %s", e.Option, e.Problem) }

// OptionErrors are all that is wrong with the options of a module.
type OptionErrors []OptionError

func (e OptionErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// known says what name may have been meant to be.
func (s Spec) known(name string) string {
	if len(s.Options) == 0 {
		return ", which declares none"
	}
	if near := spelling.Nearest(name, slices.Collect(maps.Keys(s.Options))); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return "; it has " + strings.Join(slices.Sorted(maps.Keys(s.Options)), ", ")
}

func (o Option) validate(value string) error {
	shown := "is " + strconv.Quote(value)
	if o.Secret {
		shown = "has a value that is not allowed"
	}
	if strings.ContainsRune(value, 0) {
		return errors.New("holds a NUL byte, which no environment can")
	}
	if len(o.Enum) > 0 && !slices.Contains(o.Enum, Scalar(value)) {
		near := ""
		if at := spelling.Nearest(value, texts(o.Enum)); at != "" && !o.Secret {
			near = fmt.Sprintf("; did you mean %s?", at)
		}
		return fmt.Errorf("%s: give one of %s%s", shown, strings.Join(texts(o.Enum), ", "), near)
	}
	ok := true
	switch o.Type {
	case "int", "port":
		number, err := strconv.ParseInt(value, 10, 64)
		least, most, limitErr := o.limits()
		if limitErr != nil {
			return limitErr
		}
		ok = err == nil && number >= least && number <= most
	case "bool":
		ok = slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "1", "0"}, strings.ToLower(value))
	case "duration":
		_, err := time.ParseDuration(value)
		ok = err == nil
	case "size":
		ok = matches(sizeForm, value)
	}
	if !ok {
		return fmt.Errorf("%s: give %s", shown, o.wanted())
	}
	return nil
}

// limits returns the least and the most that a number may be.
func (o Option) limits() (least, most int64, err error) {
	least, most = math.MinInt64, math.MaxInt64
	if o.Type == "port" {
		least, most = 1, 65535
	}
	for _, limit := range []struct {
		name  string
		given *Scalar
		into  *int64
	}{{"min", o.Min, &least}, {"max", o.Max, &most}} {
		switch {
		case limit.given == nil:
		case o.Type != "int" && o.Type != "port":
			return 0, 0, fmt.Errorf("%s is for the types int and port", limit.name)
		default:
			if *limit.into, err = strconv.ParseInt(string(*limit.given), 10, 64); err != nil {
				return 0, 0, fmt.Errorf("its %s is not a whole number", limit.name)
			}
		}
	}
	if least > most {
		return 0, 0, errors.New("its min is above its max")
	}
	return least, most, nil
}

// wanted says what values the option's type has.
func (o Option) wanted() string {
	switch o.Type {
	case "int", "port":
		what := "a whole number"
		if o.Type == "port" {
			what = "a port"
		}
		switch least, most, _ := o.limits(); {
		case least > math.MinInt64 && most < math.MaxInt64:
			return fmt.Sprintf("%s from %d to %d", what, least, most)
		case least > math.MinInt64:
			return fmt.Sprintf("%s from %d", what, least)
		case most < math.MaxInt64:
			return fmt.Sprintf("%s up to %d", what, most)
		}
		return what
	case "bool":
		return "true or false"
	case "duration":
		return "a duration such as 90s, 10m or 1h30m"
	case "size":
		return "a size such as 512m or 2g"
	}
	return "of type " + o.Type
}

func texts(list []Scalar) []string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = string(s)
	}
	return texts
}
