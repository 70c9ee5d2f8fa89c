package modules_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (h *host) mode(name string) os.FileMode {
	h.t.Helper()
	info, err := os.Lstat(filepath.Join(h.root, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Mode()
}

func (h *host) list(dir string) []string {
	h.t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.root, dir))
	if err != nil {
		h.t.Fatal(err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestPutFile(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, "put_file $R/new/conf <<<hello").wantChanges(t, "1")
	h.want(0, "put_file $R/new/conf <<<hello").wantChanges(t, "0")
	if h.read("new/conf") != "hello\n" || h.mode("new/conf") != 0o644 {
		t.Errorf("%q %v", h.read("new/conf"), h.mode("new/conf"))
	}
	h.want(0, "put_file $R/new/conf 0640 <<<hello").wantChanges(t, "1")
	h.want(0, "put_file $R/new/conf 0640 <<<other").wantChanges(t, "1")
	if h.read("new/conf") != "other\n" || h.mode("new/conf") != 0o640 {
		t.Errorf("%q %v", h.read("new/conf"), h.mode("new/conf"))
	}
	if diff := cmp.Diff([]string{"conf"}, h.list("new")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPutFileThatFailsLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("etc/conf", "old\n")
	h.want(1, "put_file $R/etc/conf 0644 no-such-user <<<new").wantChanges(t, "0")
	if h.read("etc/conf") != "old\n" || h.exists("state/sample.dirty") {
		t.Error("a failed put_file changed something")
	}
	if diff := cmp.Diff([]string{"conf", "os-release"}, h.list("etc")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPutFileDoesNotWriteIntoAFolder(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(1, "mkdir $R/etc/conf\nput_file $R/etc/conf <<<new").wantChanges(t, "0")
	if diff := cmp.Diff([]string{"conf", "os-release"}, h.list("etc")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if left := h.list("etc/conf"); len(left) != 0 {
		t.Errorf("written into the folder: %v", left)
	}
}

func TestATestCannotWriteOutsideItsRoot(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "file")
	h := newHost(t, debian12)
	h.env = []string{"OUTSIDE=" + outside}
	for _, script := range []string{"put_file $OUTSIDE <<<x", "put_line $OUTSIDE x", "put_dir $OUTSIDE"} {
		wantIn(t, h.want(1, script).stderr, "a test went too far")
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("written all the same")
	}
}

func TestPutFileReplacesALinkAndNotItsTarget(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("target", "same\n")
	if err := os.Symlink("../target", filepath.Join(h.root, "etc/link")); err != nil {
		t.Fatal(err)
	}
	h.want(0, "put_file $R/etc/link <<<same").wantChanges(t, "1")
	if !h.mode("etc/link").IsRegular() || h.read("target") != "same\n" {
		t.Error("the link is still there, or its target changed")
	}
}

func TestPutLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, before, line, regex, after string }{
		{"appended", "a\n", "b", "", "a\nb\n"},
		{"there already", "a\nb\nc\n", "b", "", "a\nb\nc\n"},
		{"there twice becomes once", "b\na\nb\n", "b", "", "b\na\n"},
		{"after a last line without newline", "a", "b", "", "a\nb\n"},
		{"part of a line is not the line", "ab\n", "b", "", "ab\nb\n"},
		{"a pattern replaces", "k=1\nx\n", "k=2", "^k=", "k=2\nx\n"},
		{"a pattern replaces the first and drops the rest", "k=1\nx\nk=3\n", "k=2", "^k=", "k=2\nx\n"},
		{"no match appends", "x\n", "k=2", "^k=", "x\nk=2\n"},
		{"nothing of the line is special", "x\n", `a\n&"$(b)`, "", "x\na\\n&\"$(b)\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, debian12)
			h.write("etc/f", test.before)
			h.env = []string{"LINE_=" + test.line, "REGEX_=" + test.regex}
			h.want(0, `put_line $R/etc/f "$LINE_" "$REGEX_"`)
			if diff := cmp.Diff(test.after, h.read("etc/f")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if h.mode("etc/f") != 0o600 {
				t.Errorf("mode became %v", h.mode("etc/f"))
			}
			h.want(0, `put_line $R/etc/f "$LINE_" "$REGEX_"`).wantChanges(t, "0")
		})
	}
	h := newHost(t, debian12)
	h.want(0, "put_line $R/etc/none b").wantChanges(t, "1")
	if h.read("etc/none") != "b\n" {
		t.Errorf("a new file holds %q", h.read("etc/none"))
	}
}

func TestDropFileAndPutDir(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("etc/f", "")
	const script = "drop_file $R/etc/f\nput_dir $R/etc/d/e 0700"
	h.want(0, script).wantChanges(t, "2")
	h.want(0, script).wantChanges(t, "0")
	if h.exists("etc/f") || h.mode("etc/d/e").Perm() != 0o700 {
		t.Error("not as asked")
	}
	h.want(0, "put_dir $R/etc/d/e 0750").wantChanges(t, "1")
}

func TestDownload(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("www/tool", "tool\n")
	digest := sha256.Sum256([]byte("tool\n"))
	script := "download https://example.test/tool " + hex.EncodeToString(digest[:]) + " $R/opt/tool 0755"
	h.want(0, script).wantChanges(t, "1")
	h.wantCalls("curl tool")
	h.want(0, script).wantChanges(t, "0")
	h.wantCalls()
	if h.read("opt/tool") != "tool\n" || h.mode("opt/tool") != 0o755 {
		t.Error("not the file that was asked for")
	}
}

func TestDownloadThatFails(t *testing.T) {
	t.Parallel()
	other := sha256.Sum256([]byte("other"))
	for _, test := range []struct {
		name, args, stderr string
		code               int
	}{
		{"a wrong digest", "https://example.test/tool " + hex.EncodeToString(other[:]), "its sha256 is not", 1},
		{"a digest that is none", "https://example.test/tool abc", "must be 64 hex digits", 1},
		{"a server out of reach", "https://example.test/gone?sig=hunter2 " + hex.EncodeToString(other[:]), "", 75},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, debian12)
			h.write("www/tool", "tool\n")
			got := h.want(test.code, "download "+test.args+" $R/opt/tool")
			wantIn(t, got.stderr, test.stderr)
			wantNotIn(t, got.stdout+got.stderr, "hunter2")
			if h.exists("opt") {
				t.Error("something was left behind")
			}
		})
	}
}

func TestPutUser(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, "put_user ann -m -s /bin/bash").wantChanges(t, "1")
	h.wantCalls("useradd -m -s /bin/bash ann")
	h.want(0, "put_user ann -m -s /bin/bash").wantChanges(t, "0")
	h.wantCalls()
}
