package bundle

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"startup-bundle/internal/module"
	"startup-bundle/internal/terminal"
)

// Manifest is bundle.json: which modules run, in which order, with what.
// Fields that a newer packer added within the same format version are ignored.
type Manifest struct {
	FormatVersion int      `json:"format_version"`
	Name          string   `json:"name"`                 // of the personality
	Packer        string   `json:"packer"`               // version of the packer that wrote it
	OnFailure     string   `json:"on_failure,omitempty"` // stop (default) or continue
	Bytes         int64    `json:"bytes,omitempty"`      // of all files, unpacked
	Files         int64    `json:"files,omitempty"`      // entries of the archive
	LibDigest     string   `json:"lib_digest,omitempty"` // "sha256:" and hex, of LibName
	Modules       []Module `json:"modules"`              // in the order in which they run
}

// Module is one entry of a manifest: a folder of the bundle and how to run it.
type Module struct {
	Name    string            `json:"name"`              // unique in the bundle
	Dir     string            `json:"dir,omitempty"`     // folder below Top, where it is not the name
	Uses    string            `json:"uses,omitempty"`    // the module it is an instance of, where that is not the name
	Source  string            `json:"source,omitempty"`  // where it came from, and its digest or commit there; empty: the packer's own machine
	Version string            `json:"version,omitempty"` // from module.yaml
	Env     map[string]string `json:"env,omitempty"`     // options, resolved: OPT_PORT=6379
	Secret  []string          `json:"secret,omitempty"`  // names in Env whose values must not be shown
	Run     string            `json:"run,omitempty"`     // once (default) or every-boot
	Timeout string            `json:"timeout,omitempty"` // Go duration
	Digest  string            `json:"digest"`            // tree digest, see Tree

	SignedBy string `json:"signed_by,omitempty"` // id of the key that the packer found to have signed it
}

// Folder returns the module's folder, relative to Top.
func (m Module) Folder() string {
	if m.Dir != "" {
		return m.Dir
	}
	return m.Name
}

// ParseManifest reads bundle.json and checks what it says.
func ParseManifest(text []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%w: %s is not valid JSON: %w", ErrFormat, ManifestName, err)
	}
	if m.FormatVersion < 1 || m.FormatVersion > FormatVersion {
		return nil, fmt.Errorf("%w: its format version is %d and this program reads up to %d: pack it again with an older packer, or update the agent in the image",
			ErrFormat, m.FormatVersion, FormatVersion)
	}
	switch m.OnFailure {
	case "", module.OnFailureStop, module.OnFailureContinue:
	default:
		return nil, fmt.Errorf("%w: %s: on_failure is %q: it is %s or %s", ErrFormat, ManifestName, m.OnFailure, module.OnFailureStop, module.OnFailureContinue)
	}
	if err := printable("name", m.Name, "packer", m.Packer, "lib_digest", m.LibDigest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, ManifestName, err)
	}
	if len(m.Modules) == 0 {
		return nil, fmt.Errorf("%w: %s lists no module", ErrFormat, ManifestName)
	}
	if len(m.Modules) > MaxModules {
		return nil, tooManyModules()
	}
	names := map[string]bool{}
	for i, mod := range m.Modules {
		if err := mod.check(); err != nil {
			return nil, fmt.Errorf("%w: %s, module %d: %w", ErrFormat, ManifestName, i+1, err)
		}
		if names[mod.Name] {
			return nil, fmt.Errorf("%w: %s lists module %q twice", ErrFormat, ManifestName, mod.Name)
		}
		names[mod.Name] = true
	}
	return &m, nil
}

func tooManyModules() error {
	return fmt.Errorf("%w: it has more than %d modules", ErrFormat, MaxModules)
}

func (m Module) check() error {
	if err := module.CheckName(m.Name); err != nil {
		return err
	}
	if err := printable("dir", m.Dir, "uses", m.Uses, "source", m.Source, "version", m.Version, "digest", m.Digest, "signed_by", m.SignedBy); err != nil {
		return err
	}
	folder := m.Folder()
	if folder != path.Base(folder) || strings.HasPrefix(folder, ".") || folder == "/" || folder == ManifestName || folder == SignatureName || folder == LibName {
		return fmt.Errorf("%q is not a folder name", folder)
	}
	if m.Timeout != "" {
		if d, err := time.ParseDuration(m.Timeout); err != nil || d <= 0 {
			return fmt.Errorf("%q is not a time-out: write it like 90s or 30m", m.Timeout)
		}
	}
	switch m.Run {
	case "", module.RunOnce, module.RunEveryBoot:
	default:
		return fmt.Errorf("run is %q: it is %s or %s", m.Run, module.RunOnce, module.RunEveryBoot)
	}
	for name, value := range m.Env {
		if !module.IsEnvName(name) {
			return fmt.Errorf("%q is not the name of an environment variable", name)
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("the value of %s holds a NUL byte", name)
		}
	}
	return nil
}

// maxText is the longest text of a manifest that is shown to people, in bytes: a
// source is a URL and a digest.
const maxText = 1024

// printable refuses texts that could steer the terminal they are shown on, or fill
// it. They come in pairs of a field's name and its text.
func printable(fields ...string) error {
	for i := 0; i+1 < len(fields); i += 2 {
		name, text := fields[i], fields[i+1]
		switch {
		case len(text) > maxText:
			return fmt.Errorf("%s is longer than %d bytes", name, maxText)
		case !terminal.IsSafe(text):
			return fmt.Errorf("%s holds characters that are not printable", name)
		}
	}
	return nil
}
