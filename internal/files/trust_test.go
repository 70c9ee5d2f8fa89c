package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"startup-bundle/internal/files"
)

// tree makes root/etc/keys and what leads there, each as umask 022 would.
func tree(t *testing.T) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "root")
	for _, dir := range []string{"", "etc", "var/tmp", "usr/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"etc/keys", "usr/lib/hook", "var/tmp/mine"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTrust(t *testing.T) {
	const nobody = 65534
	mode := func(path string, mode os.FileMode) func(string) error {
		return func(root string) error { return os.Chmod(filepath.Join(root, path), mode) }
	}
	owner := func(path string) func(string) error {
		return func(root string) error { return os.Lchown(filepath.Join(root, path), nobody, nobody) }
	}
	link := func(target, path string) func(string) error {
		return func(root string) error {
			return os.Symlink(strings.ReplaceAll(target, "ROOT", root), filepath.Join(root, path))
		}
	}
	tests := map[string]struct {
		path    string
		change  []func(root string) error
		named   string // what is not to be trusted; "": nothing
		cure    string
		asRoot  bool // changes owners
		within  bool // Confined
		failing bool // another error
	}{
		"as umask 022 makes it":           {path: "etc/keys"},
		"a folder":                        {path: "etc"},
		"the root":                        {path: ""},
		"not there":                       {path: "etc/none"},
		"no folder for it":                {path: "etc/none/keys"},
		"readable by all":                 {path: "etc/keys", change: []func(string) error{mode("etc/keys", 0o644)}},
		"writable by group":               {path: "etc/keys", change: []func(string) error{mode("etc/keys", 0o620)}, named: "etc/keys", cure: "chmod go-w "},
		"writable by others":              {path: "etc/keys", change: []func(string) error{mode("etc/keys", 0o602)}, named: "etc/keys", cure: "chmod go-w "},
		"folder of it":                    {path: "etc/keys", change: []func(string) error{mode("etc", 0o777)}, named: "etc", cure: "chmod go-w "},
		"folder of one that is not there": {path: "etc/none", change: []func(string) error{mode("etc", 0o777)}, named: "etc", cure: "chmod go-w "},
		"folder above":                    {path: "var/tmp/mine", change: []func(string) error{mode("var", 0o757)}, named: "var", cure: "chmod go-w "},
		"the root itself":                 {path: "etc/keys", change: []func(string) error{mode("", 0o777)}, named: "", cure: "chmod go-w "},
		"in a sticky folder":              {path: "var/tmp/mine", change: []func(string) error{mode("var/tmp", 0o777|os.ModeSticky)}},
		"a sticky folder itself":          {path: "var/tmp", change: []func(string) error{mode("var/tmp", 0o777|os.ModeSticky)}, named: "var/tmp", cure: "chmod go-w "},
		"a link to a good one":            {path: "etc/link", change: []func(string) error{link("../usr/lib/hook", "etc/link")}},
		"a link to a bad one":             {path: "etc/link", change: []func(string) error{link("../usr/lib/hook", "etc/link"), mode("usr/lib/hook", 0o666)}, named: "usr/lib/hook", cure: "chmod go-w "},
		"a link through a bad folder":     {path: "etc/link", change: []func(string) error{link("ROOT/usr/lib/hook", "etc/link"), mode("usr", 0o777)}, named: "usr", cure: "chmod go-w "},
		"a folder that is a link":         {path: "etc/dir/hook", change: []func(string) error{link("../usr/lib", "etc/dir"), mode("usr/lib", 0o777)}, named: "usr/lib", cure: "chmod go-w "},
		"a link to nothing":               {path: "etc/link", change: []func(string) error{link("nothing", "etc/link")}},
		"a link in a circle":              {path: "etc/link", change: []func(string) error{link("link", "etc/link")}, failing: true},
		"an image's absolute link":        {path: "etc/link", within: true, change: []func(string) error{link("/usr/lib/hook", "etc/link"), mode("usr/lib/hook", 0o666)}, named: "usr/lib/hook", cure: "chmod go-w "},
		"an image's climbing link":        {path: "etc/link", within: true, change: []func(string) error{link("../../../../usr/lib/hook", "etc/link"), mode("usr/lib/hook", 0o666)}, named: "usr/lib/hook", cure: "chmod go-w "},
		"a link to a device":              {path: "etc/link", change: []func(string) error{link(os.DevNull, "etc/link")}}, // never chmod that
		"a file below a file":             {path: "etc/keys/below", failing: true},

		"another's file":                     {path: "etc/keys", asRoot: true, change: []func(string) error{owner("etc/keys")}, named: "etc/keys", cure: "chown root "},
		"another's folder":                   {path: "etc/keys", asRoot: true, change: []func(string) error{owner("etc")}, named: "etc", cure: "chown root "},
		"another's link":                     {path: "etc/link", asRoot: true, change: []func(string) error{link("keys", "etc/link"), owner("etc/link")}, named: "etc/link", cure: "chown root "},
		"another's in a sticky folder":       {path: "var/tmp/mine", asRoot: true, change: []func(string) error{mode("var/tmp", 0o777|os.ModeSticky), owner("var/tmp/mine")}, named: "var/tmp/mine", cure: "chown root "},
		"group-writable folder, run by root": {path: "etc/keys", asRoot: true, change: []func(string) error{mode("etc", 0o775)}, named: "etc", cure: "chmod go-w "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.asRoot && os.Geteuid() != 0 {
				t.Skip("changes owners, which needs root")
			}
			root := tree(t)
			for _, change := range test.change {
				if err := change(root); err != nil {
					t.Fatal(err)
				}
			}
			err := files.Trust{Root: root, Confined: test.within}.Check(filepath.Join(root, test.path))
			var untrusted *files.UntrustedError
			bad := errors.As(err, &untrusted)
			switch {
			case test.failing:
				if err == nil || bad {
					t.Errorf("got %v", err)
				}
			case bad != (test.cure != ""), !bad && err != nil:
				t.Errorf("got %v", err)
			case bad:
				named := filepath.Join(root, test.named)
				if untrusted.Path != named || untrusted.Cure != test.cure+named || !strings.Contains(err.Error(), named+" is not to be trusted: ") {
					t.Errorf("got %v", err)
				}
				if strings.HasPrefix(untrusted.Cure, "chmod") { // what it says, helps
					if err := os.Chmod(named, 0o700); err != nil {
						t.Fatal(err)
					}
					if err := (files.Trust{Root: root, Confined: test.within}).Check(filepath.Join(root, test.path)); err != nil {
						t.Errorf("after the cure: %v", err)
					}
				}
			}
		})
	}
}

// What is above a scratch root is the choice of whoever named it; a path elsewhere is
// judged from the top.
func TestTrustAboveAScratchRoot(t *testing.T) {
	root := tree(t)
	above := filepath.Dir(root)
	if err := os.Chmod(above, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "etc/keys")
	if err := (files.Trust{Root: root}).Check(path); err != nil {
		t.Error(err)
	}
	var untrusted *files.UntrustedError
	for _, elsewhere := range []string{"/", filepath.Join(above, "other")} {
		if err := (files.Trust{Root: elsewhere}).Check(path); !errors.As(err, &untrusted) || untrusted.Path != above {
			t.Errorf("root %s: %v", elsewhere, err)
		}
	}
}
