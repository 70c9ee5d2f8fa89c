package proving

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/internal/module"
	"startup-bundle/packer/source"
)

func TestParseNeeds(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       Needs
		problem    string
	}{
		{name: "nothing"},
		{
			name: "everything",
			text: "options: {device: $DISK, size: 007}\ndisk: {size: 64m, folder: /var/swap}\ncapabilities: [CAP_SYS_TIME, all]\nsystem_calls: ['@swap']\nnet_settings: true\nfiles: {/etc/x: y}\n",
			want: Needs{
				Options: map[string]module.Scalar{"device": "$DISK", "size": "007"}, Disk: &Disk{"64m", "/var/swap"},
				Capabilities: []string{"CAP_SYS_TIME", "all"}, SystemCalls: []string{"@swap"}, NetSettings: true,
				Files: map[string]string{"/etc/x": "y"},
			},
		},
		{name: "from Windows", text: "\ufeffnet_settings: true\r\n", want: Needs{NetSettings: true}},
		{name: "an alias", text: "options: &a {b: *a}", problem: "a value starts with one of"},
		{name: "an escape in a capability", text: `capabilities: ["\x1b[31m"]`, problem: `"\x1b[31m" is not like CAP_SYS_TIME`},
		{name: "an escape in a file", text: `files: {"/\x1b/..": y}`, problem: `"/\x1b/.." is not a plain absolute path`},
		{name: "an unknown field", text: "optins: {}", problem: "optins"},
		{name: "a disk without a size", text: "disk: {}", problem: "not like 400m"},
		{name: "a disk of no size", text: "disk: {size: 0m}", problem: "not like 400m"},
		{name: "a mount that names another", text: "disk: {size: 1m, folder: '/a:/b'}", problem: "plain absolute path"},
		{name: "a mount over everything", text: "disk: {size: 1m, folder: /}", problem: "plain absolute path"},
		{name: "a capability that is an argument", text: "capabilities: ['all --bind=/']", problem: "CAP_SYS_TIME"},
		{name: "a call that is an argument", text: "system_calls: ['~x y']", problem: "@swap"},
		{name: "a file that climbs", text: "files: {/etc/../../x: y}", problem: "plain absolute path"},
		{name: "a relative file", text: "files: {x: y}", problem: "plain absolute path"},
		{name: "too much", text: strings.Repeat("#", maxNeeds+1), problem: "larger"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseNeeds([]byte(test.text))
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Fatalf("error %v, want one about %q", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseNeeds(f *testing.F) {
	files, err := filepath.Glob("../../modules/*/" + NeedsFile)
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseNeeds(text)
		if err != nil {
			return
		}
		for file := range n.Files {
			if rel, err := filepath.Rel("/m", filepath.Join("/m", file)); err != nil || strings.HasPrefix(rel, "..") {
				t.Errorf("file %q is outside of the machine", file)
			}
		}
		if n.Disk != nil && diskBytes(n.Disk.Size) <= 0 {
			t.Errorf("disk %q has no size", n.Disk.Size)
		}
	})
}

func TestNeedsOfSeveralModules(t *testing.T) {
	n := Needs{Capabilities: []string{"CAP_A"}}
	if err := n.join(Needs{
		Options: map[string]module.Scalar{"x": "y"}, Disk: &Disk{Size: "1m"}, Capabilities: []string{"CAP_A", "CAP_B"},
		SystemCalls: []string{"@swap"}, NetSettings: true, Files: map[string]string{"/a": "b"},
	}); err != nil {
		t.Fatal(err)
	}
	want := Needs{
		Disk: &Disk{Size: "1m"}, Capabilities: []string{"CAP_A", "CAP_B"}, SystemCalls: []string{"@swap"}, NetSettings: true,
		Files: map[string]string{"/a": "b"},
	}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Error(diff)
	}
	if err := n.join(Needs{Disk: &Disk{Size: "2m"}}); err == nil {
		t.Error("two disks were not refused")
	}
}

func TestStandardModulesAreTestedWithOptionsTheyHave(t *testing.T) {
	names, err := source.All("../../modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := CheckNeeds(filepath.Join("../../modules", name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckNeeds(t *testing.T) {
	for text, problem := range map[string]string{
		"":                    "",
		"options: {a: x}":     "",
		"options: {b: x}":     `option b is not declared`,
		"options: {}":         "option a is required",
		"net_settings: true":  "",
		"net_settings: maybe": "line 1, column 15: net_settings: is neither true nor false",
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"module.yaml": "options: {a: {required: true}}\n", NeedsFile: text} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := CheckNeeds(dir)
		if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: error %v, want %q", text, err, problem)
		}
	}
}

func TestAbleSaysAllThatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	err := Options{Base: "debian12"}.able(Needs{Disk: &Disk{}})
	if !Unable(err) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"no systemd-nspawn: install the package systemd-container", "mmdebstrap", "no losetup: install the package util-linux", "e2fsprogs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	for _, o := range []Options{{Base: "plan9"}, {Image: t.TempDir()}} {
		if err := o.able(Needs{}); err == nil || Unable(err) {
			t.Errorf("%+v: error %v, want one that no other machine would mend", o, err)
		}
	}
	if Unable(errors.New("x")) || Unable(nil) {
		t.Error("any error is taken for a missing program")
	}
}
