package upkeep

import (
	"os"
	"path/filepath"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCompareShowsWhatChanged(t *testing.T) {
	got, err := compare(t.Context(),
		folder(t, map[string]string{"start": "one\ntwo\n", "gone": "x\n", "same": "s\n", "binary": "\x00a"}),
		folder(t, map[string]string{"start": "one\nthree\n", "new": "n\n", "same": "s\n", "binary": "\x00bc"}))
	const want = `changed binary (3 bytes, not 2)
removed gone
added new (2 bytes)
diff a/new b/new
--- a/new
+++ b/new
@@ -0,0 +1,1 @@
+n
diff a/start b/start
--- a/start
+++ b/start
@@ -1,2 +1,2 @@
 one
-two
+three
`
	if err != nil || got != want {
		t.Errorf("error %v\n%s", err, got)
	}
}

// What somebody agrees to must be what is there: a carriage return, an escape or a
// change of direction would have the terminal show something else.
func TestCompareHidesNothing(t *testing.T) {
	got, err := compare(t.Context(), "", folder(t, map[string]string{"start": "evil\rgood\x1b[1A\u202e\u009b\n"}))
	const want = `added start (19 bytes)
diff a/start b/start
--- a/start
+++ b/start
@@ -0,0 +1,1 @@
+evil\rgood\x1b[1A\u202e\u009b
`
	if err != nil || got != want {
		t.Errorf("error %v\n%q", err, got)
	}
}
