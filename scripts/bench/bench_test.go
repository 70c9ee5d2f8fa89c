package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAPayloadIsTheSameEachTimeAndHasItsSize(t *testing.T) {
	p := payload{name: "tiny", modules: 2, files: 40, bytes: 100_000}
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		if err := p.write(dir); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(contents(t, one), contents(t, two)); diff != "" {
		t.Error(diff)
	}
	files, size, err := count(one)
	if want := p.bytes + int64(2*len(startScript)); err != nil || files != 42 || size > want || size < want-42 {
		t.Errorf("%d files of %d bytes, %v; want 42 of %d", files, size, err, want)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.size < 0 {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.name))
		if err != nil {
			t.Fatal(err)
		}
		found[e.name] = string(text)
	}
	return found
}

func TestLinkRepeatsFilesAndKeepsOneStart(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	if err := (payload{modules: 2, files: 10, bytes: 1000}).write(from); err != nil {
		t.Fatal(err)
	}
	if err := (payload{copies: 3}).link(from, dir); err != nil {
		t.Fatal(err)
	}
	if files, _, err := count(dir); err != nil || files != 3*10+2 {
		t.Errorf("%d files, %v; want 32", files, err)
	}
}

func TestTheFloorWritesTheSameSizes(t *testing.T) {
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	if err := (payload{modules: 2, files: 10, bytes: 700_000}).write(from); err != nil {
		t.Fatal(err)
	}
	entries, err := list(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := e.write(dir, make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := list(dir)
	if diff := cmp.Diff(entries, again, cmp.AllowUnexported(entry{})); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestTheSlowLinkWaitsAndThenKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &throttled{ResponseWriter: httptest.NewRecorder(), ctx: t.Context(), began: time.Now()}
		n, err := w.ReadFrom(bytes.NewReader(make([]byte, 40e6)))
		if err != nil || n != 40e6 {
			t.Fatal(n, err)
		}
		if took := time.Since(w.began); took < 499*time.Millisecond || took > 501*time.Millisecond {
			t.Errorf("40 MB took %v, not half a second", took)
		}
	})
}

func TestBothLinksServeRangesOfTheSameFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{linkFast, linkSlow} {
		t.Run(link, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/"+link+"/file", nil)
			r.Header.Set("Range", "bytes=2-4")
			w := httptest.NewRecorder()
			handler(dir).ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Result().Body)
			if w.Code != http.StatusPartialContent || string(body) != "234" || w.Header().Get("ETag") == "" {
				t.Errorf("%d %q %v", w.Code, body, w.Header())
			}
		})
	}
}

func TestSpreadOf(t *testing.T) {
	tests := map[string]struct{ times, want []time.Duration }{
		"none": {nil, []time.Duration{0, 0, 0, 0, 0}},
		"one":  {[]time.Duration{3}, []time.Duration{3, 3, 3, 3, 3}},
		"even": {[]time.Duration{4, 2, 8, 6}, []time.Duration{2, 2, 5, 8, 8}},
		"odd":  {[]time.Duration{5, 1, 3, 2, 4}, []time.Duration{1, 2, 3, 4, 5}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := spreadOf(test.times)
			if diff := cmp.Diff(test.want, []time.Duration{s.least, s.q1, s.median, s.q3, s.most}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// example is a report of made-up numbers.
func example() *report {
	sc := &scene{name: "small-slow", payload: payloads()["small"], link: linkSlow, samples: map[string][]sample{}}
	for name, n := range map[string]time.Duration{ours: 1, recipe: 5, recipeGzip: 6, recipeZstd: 3, stockAge: 4, floor: 0} {
		for round := range time.Duration(3) {
			noise := 1 + round // of the machine: it slows all of a round
			sc.samples[name] = append(sc.samples[name], sample{took: n*noise*time.Second + 1, busy: n*time.Second + 1, peak: 50 << 20})
		}
	}
	return &report{fast: "tmpfs", slow: "ext4", rounds: 3, scenes: []*scene{sc}, sizes: []*sealed{{payload: sc.payload}}}
}

func TestNoiseOfARoundDoesNotChangeARatio(t *testing.T) {
	sc := example().scenes[0]
	if n := sc.times(recipe); n < 4.99 || n > 5.01 {
		t.Errorf("%v, not 5", n)
	}
	if !sc.restless() {
		t.Error("times that differ threefold do not count as spread")
	}
}

func TestTheTablesSayWhatIsKeptAndWhatIsNot(t *testing.T) {
	text := example().markdown()
	for _, want := range []string{
		"| small-slow: at least 4.0 times as fast as the recipe | 5.00× | yes |",
		"| peak memory at most 48 MiB on every payload | 50.0 MiB | **no** |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "mixed") {
		t.Error("a scene that was not played is in the tables")
	}
}

func TestTheChartIsXMLAndShowsEveryContender(t *testing.T) {
	chart := example().chart()
	d := xml.NewDecoder(strings.NewReader(chart))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(chart, "<rect"); n != 6 {
		t.Errorf("%d bars, not 6:\n%s", n, chart)
	}
	if empty := (&report{}).chart(); empty != "" {
		t.Errorf("a chart of nothing: %s", empty)
	}
}

func TestInsertKeepsWhatStandsAround(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("before\n"+markBegin+"old\n"+markEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := insert(file, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(file)
	if diff := cmp.Diff("before\n"+markBegin+"\nnew\n\n"+markEnd+"after\n", string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestInsertLeavesAPageWithoutMarkersAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := insert(file, "new\n"); err == nil {
		t.Error("no error")
	}
	if text, _ := os.ReadFile(file); string(text) != "mine\n" {
		t.Errorf("now %q", text)
	}
}
