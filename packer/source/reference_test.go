package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const someDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestParseReference(t *testing.T) {
	for text, want := range map[string]Reference{
		"oci://registry.example/team/hello:1.2":                    {Name: "hello", origin: originOCI, ref: "1.2"},
		"oci://127.0.0.1:5000/hello":                               {Name: "hello", origin: originOCI, ref: "latest"},
		"git+https://git.example/m.git//sub/hello?ref=v1":          {Name: "hello", origin: originGit, url: "https://git.example/m.git", path: "sub/hello", ref: "v1"},
		"git+https://git.example/team/hello.git":                   {Name: "hello", origin: originGit, url: "https://git.example/team/hello.git"},
		"git+ssh://git@git.example/m.git//hello?ref=a/b":           {Name: "hello", origin: originGit, url: "ssh://git@git.example/m.git", path: "hello", ref: "a/b"},
		"git+file:///srv/m//hello":                                 {Name: "hello", origin: originGit, url: "file:///srv/m", path: "hello"},
		"git+http://127.0.0.1:80/m.git//hello":                     {Name: "hello", origin: originGit, url: "http://127.0.0.1:80/m.git", path: "hello"},
		"https://files.example/hello-1.2.tgz#sha256=" + someDigest: {Name: "hello", origin: originArchive, url: "https://files.example/hello-1.2.tgz", sha256: someDigest},
	} {
		want.Text = text
		got, err := ParseReference(text)
		if err != nil || got != want {
			t.Errorf("%s:\n%+v, %v; want\n%+v", text, got, err, want)
		}
	}
	for name, text := range map[string]string{
		"another scheme":            "ftp://files.example/hello.tgz",
		"a helper of git":           "git+ext://sh -c id",
		"no digest":                 "https://files.example/hello.tgz",
		"half a digest":             "https://files.example/hello.tgz#sha256=9f86",
		"clear http":                "http://files.example/hello.tgz#sha256=" + someDigest,
		"clear git":                 "git+http://git.example/m.git//hello",
		"a password":                "https://me:s3cret@files.example/hello.tgz#sha256=" + someDigest,
		"a signature":               "https://files.example/hello.tgz?X-Amz-Signature=s3cret#sha256=" + someDigest,
		"an empty query":            "https://files.example/hello.tgz?#sha256=" + someDigest,
		"a password for git":        "git+https://me:s3cret@git.example/m.git//hello",
		"a password for ssh":        "git+ssh://me:s3cret@git.example/m.git//hello",
		"a password for a registry": "oci://me:s3cret@registry.example/hello",
		"an option as host":         "git+ssh://-oProxyCommand=id/m.git//hello",
		"an option as user":         "git+ssh://-oProxyCommand=id@git.example/m.git//hello",
		"an option as ref":          "git+https://git.example/m.git//hello?ref=--upload-pack=id",
		"a ref that climbs":         "git+https://git.example/m.git//hello?ref=a..b",
		"a folder that climbs":      "git+https://git.example/m.git//../hello",
		"more of a query":           "git+https://git.example/m.git//hello?ref=a&x=s3cret",
		"no module's name":          "git+https://git.example/m.git//Hello",
		"an archive of no name":     "https://files.example/1.2.tgz#sha256=" + someDigest,
		"no archive":                "https://files.example/hello.zip#sha256=" + someDigest,
		"no repository":             "git+https://git.example",
		"no registry":               "oci://hello",
	} {
		_, err := ParseReference(text)
		if !errors.Is(err, ErrReference) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, text := range []string{
		"oci://registry.example/team/hello:1.2", "git+https://git.example/m.git//sub/hello?ref=v1", "git+file:///srv/m//hello",
		"https://files.example/hello-1.2.tgz#sha256=" + someDigest,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReference(text)
		if err != nil {
			return
		}
		for _, part := range []string{r.url, r.path, r.ref, r.Name} {
			if strings.HasPrefix(part, "-") { // it becomes an argument of git
				t.Errorf("%q has the part %q", text, part)
			}
		}
		if strings.Contains(r.path, "..") && strings.Contains("/"+r.path+"/", "/../") {
			t.Errorf("%q climbs", text)
		}
	})
}

func FuzzParseLock(f *testing.F) {
	f.Add("version: 1\nmodules:\n  - source: oci://registry.example/hello:1\n    name: hello\n    resolved: sha256:" + someDigest + "\n    tree: sha256:" + someDigest + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		modules, err := parseLock([]byte(text))
		if err != nil {
			return
		}
		for _, m := range modules {
			if _, err := ParseReference(m.Source); err != nil || !treeForm.MatchString(m.Tree) {
				t.Errorf("%+v: %v", m, err)
			}
		}
	})
}

// A lock is under version control: what is written does not change with the library.
func TestALockIsWrittenTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.lock")
	lock, err := ReadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	lock.Set(Locked{"oci://registry.example/team/hello:1.2", "hello", "1.2.3", "sha256:" + someDigest, "sha256:" + someDigest})
	lock.Set(Locked{"git+https://git.example/m.git//a/b?ref=" + strings.Repeat("long", 30), "b", "", strings.Repeat("12345678", 5), "sha256:" + someDigest})
	if err := lock.Write(); err != nil {
		t.Fatal(err)
	}
	want := lockHeader + "version: 1\nmodules:\n" +
		"- source: git+https://git.example/m.git//a/b?ref=" + strings.Repeat("long", 30) + "\n  name: b\n" +
		"  resolved: \"" + strings.Repeat("12345678", 5) + "\"\n  tree: sha256:" + someDigest + "\n" +
		"- source: oci://registry.example/team/hello:1.2\n  name: hello\n  version: 1.2.3\n" +
		"  resolved: sha256:" + someDigest + "\n  tree: sha256:" + someDigest + "\n"
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%v:\n%s\nwant\n%s", err, got, want)
	}
}

func TestALockIsReadStrictly(t *testing.T) {
	entry := func(source, resolved, tree string) string {
		return "  - {source: '" + source + "', name: hello, resolved: '" + resolved + "', tree: '" + tree + "'}\n"
	}
	const ref = "oci://registry.example/hello:1"
	good := entry(ref, "sha256:"+someDigest, "sha256:"+someDigest)
	if modules, err := parseLock([]byte("version: 1\nmodules:\n" + good)); err != nil || len(modules) != 1 {
		t.Fatalf("%v, %v", modules, err)
	}
	if modules, err := parseLock([]byte("\ufeffversion: 1\r\nmodules:\r\n" + good)); err != nil || len(modules) != 1 {
		t.Fatalf("with a byte order mark: %v, %v", modules, err)
	}
	for name, text := range map[string]string{
		"an anchor":           "version: 1\nmodules:\n" + strings.Replace(good, "name: hello", "name: &a hello", 1),
		"two documents":       "version: 1\nmodules:\n" + good + "---\nversion: 1\n",
		"too large":           "#" + strings.Repeat(" ", maxLock),
		"of the future":       "version: 2\nmodules:\n" + good,
		"an unknown field":    "version: 1\nsigned: yes\nmodules:\n" + good,
		"twice":               "version: 1\nmodules:\n" + good + good,
		"no digest":           "version: 1\nmodules:\n" + entry(ref, "latest", "sha256:"+someDigest),
		"an option as commit": "version: 1\nmodules:\n" + entry(ref, "--upload-pack=id", "sha256:"+someDigest),
		"no tree":             "version: 1\nmodules:\n" + entry(ref, "sha256:"+someDigest, ""),
		"a path as tree":      "version: 1\nmodules:\n" + entry(ref, "sha256:"+someDigest, "../../etc"),
		"a path as name":      "version: 1\nmodules:\n" + strings.Replace(good, "name: hello", "name: ../hello", 1),
		"another name":        "version: 1\nmodules:\n" + strings.Replace(entry("git+https://git.example/m.git//hello", someDigest, "sha256:"+someDigest), "name: hello", "name: other", 1),
		"no reference":        "version: 1\nmodules:\n" + entry("hello", "sha256:"+someDigest, "sha256:"+someDigest),
		"no YAML":             "version: [1",
		"nothing":             "",
	} {
		if modules, err := parseLock([]byte(text)); err == nil {
			t.Errorf("%s: %v", name, modules)
		}
	}
}
