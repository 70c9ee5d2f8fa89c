package proving

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"startup-bundle/internal/module"
	"startup-bundle/internal/strictyaml"
	"startup-bundle/packer/source"
)

// NeedsFile is the file in a module's folder that says how it is tested.
const NeedsFile = "test.yaml"

const maxNeeds = 64 << 10

// DiskVariable in an option of [NeedsFile] becomes the device of its disk.
const DiskVariable = "$DISK"

// Needs is test.yaml: the options a module is tested with, and what it needs of
// the machine that a plain container does not have. Every field is optional.
type Needs struct {
	Options      map[string]module.Scalar `yaml:"options"`
	Disk         *Disk                    `yaml:"disk"`
	Capabilities []string                 `yaml:"capabilities"` // such as CAP_SYS_TIME; or all
	SystemCalls  []string                 `yaml:"system_calls"` // such as @swap, allowed besides the usual
	NetSettings  bool                     `yaml:"net_settings"` // /proc/sys/net can be written
	Files        map[string]string        `yaml:"files"`        // content by absolute path, there before the first start
}

// Disk is a blank disk.
type Disk struct {
	Size   string `yaml:"size"`   // such as 400m
	Folder string `yaml:"folder"` // formatted as ext4 and mounted here; empty: handed over as a device
}

var (
	diskSizeForm   = regexp.MustCompile(`^[1-9][0-9]{0,4}[mg]$`)
	capabilityForm = regexp.MustCompile(`^(all|CAP_[A-Z_]{1,40})$`)
	systemCallForm = regexp.MustCompile(`^@?[a-z][a-z0-9_-]{0,40}$`)
)

// ParseNeeds reads test.yaml strictly. Its error names line and column.
func ParseNeeds(text []byte) (Needs, error) {
	var n Needs
	if err := strictyaml.Decode(text, maxNeeds, &n); err != nil {
		return n, fmt.Errorf("read %s: %w", NeedsFile, err)
	}
	if err := n.check(); err != nil {
		return n, fmt.Errorf("%s: %w", NeedsFile, err)
	}
	return n, nil
}

func (n Needs) check() error {
	if n.Disk != nil {
		switch {
		case !diskSizeForm.MatchString(n.Disk.Size):
			return fmt.Errorf("disk: size %q is not like 400m or 2g", n.Disk.Size)
		case n.Disk.Folder != "" && !plainPath(n.Disk.Folder):
			return fmt.Errorf("disk: folder %q is not a plain absolute path", n.Disk.Folder)
		}
	}
	for _, c := range n.Capabilities {
		if !capabilityForm.MatchString(c) {
			return fmt.Errorf("capabilities: %q is not like CAP_SYS_TIME", c)
		}
	}
	for _, c := range n.SystemCalls {
		if !systemCallForm.MatchString(c) {
			return fmt.Errorf("system_calls: %q is not like @swap", c)
		}
	}
	for file := range n.Files {
		if !plainPath(file) {
			return fmt.Errorf("files: %q is not a plain absolute path", file)
		}
	}
	return nil
}

// plainPath reports whether p is absolute, in its shortest form, and free of
// what separates the fields of a --bind argument.
func plainPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/" && !strings.ContainsAny(p, ":\\\n")
}

// readNeeds reads the test.yaml of a module's folder; without one, the zero Needs.
func readNeeds(dir string) (Needs, error) {
	f, err := os.Open(filepath.Join(dir, NeedsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Needs{}, nil
	}
	if err != nil {
		return Needs{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNeeds+1))
	if err != nil {
		return Needs{}, err
	}
	n, err := ParseNeeds(text)
	if err != nil {
		return n, fmt.Errorf("module %s: %w", filepath.Base(dir), err)
	}
	return n, nil
}

// CheckNeeds reports what is wrong with the test.yaml of a module's folder: its
// form, or options that the module does not have or refuses. A module without
// one is tested with its defaults, which may lack a required option: that is
// no mistake of the file's.
func CheckNeeds(dir string) error {
	n, err := readNeeds(dir)
	if err != nil || n.Options == nil {
		return err
	}
	spec, err := source.Spec(dir)
	if err != nil {
		return nil //nolint:nilerr // of module.yaml, which is checked elsewhere
	}
	_, _, err = spec.Resolve(n.Options)
	return err
}

// join adds what another module of the same machine needs. Options stay apart:
// a personality has its own.
func (n *Needs) join(other Needs) error {
	if n.Disk != nil && other.Disk != nil {
		return errors.New("two modules want a disk each: test them one by one")
	}
	if n.Disk == nil {
		n.Disk = other.Disk
	}
	for _, c := range other.Capabilities {
		if !slices.Contains(n.Capabilities, c) {
			n.Capabilities = append(n.Capabilities, c)
		}
	}
	for _, c := range other.SystemCalls {
		if !slices.Contains(n.SystemCalls, c) {
			n.SystemCalls = append(n.SystemCalls, c)
		}
	}
	n.NetSettings = n.NetSettings || other.NetSettings
	if n.Files == nil {
		n.Files = map[string]string{}
	}
	maps.Copy(n.Files, other.Files)
	return nil
}
