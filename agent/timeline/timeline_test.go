package timeline_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"startup-bundle/agent/journal"
	"startup-bundle/agent/timeline"
)

// A run with all that a chart shows: boot, a late metadata service, a retry,
// fetch and unpack that overlap, a module that is tried again, and a failure.
const log = `{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"agent started","version":"v1","boot_id":"b","uptime":4}
{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"phase started","phase":"userdata"}
{"level":"info","time":"2026-01-02T03:04:05.100Z","msg":"waiting for instance metadata","phase":"userdata","error":"no route"}
{"level":"info","time":"2026-01-02T03:04:06.100Z","msg":"instance metadata answered","phase":"userdata","attempt":4,"duration":1}
{"level":"info","time":"2026-01-02T03:04:06.200Z","msg":"phase ended","phase":"userdata","duration":1.2}
{"level":"info","time":"2026-01-02T03:04:06.200Z","msg":"phase started","phase":"key"}
{"level":"info","time":"2026-01-02T03:04:06.200Z","msg":"phase ended","phase":"key","duration":0}
{"level":"info","time":"2026-01-02T03:04:06.200Z","msg":"phase started","phase":"bundle"}
{"level":"info","time":"2026-01-02T03:04:06.300Z","msg":"fetching","phase":"bundle","url":"https://b/x","size":50000000}
{"level":"debug","time":"2026-01-02T03:04:06.500Z","msg":"request will be repeated","phase":"bundle"}
{"level":"info","time":"2026-01-02T03:04:07.300Z","msg":"fetched","phase":"bundle","bytes":50000000,"duration":1}
{"level":"info","time":"2026-01-02T03:04:07.500Z","msg":"bundle unpacked","phase":"bundle","bundle":"web","modules":2,"duration":1.3}
{"level":"info","time":"2026-01-02T03:04:07.500Z","msg":"phase ended","phase":"bundle","duration":1.3}
{"level":"info","time":"2026-01-02T03:04:07.500Z","msg":"phase started","phase":"modules"}
{"level":"info","time":"2026-01-02T03:04:07.500Z","msg":"module started","phase":"modules","module":"java","attempt":1}
{"level":"info","time":"2026-01-02T03:04:08.000Z","msg":"output","phase":"modules","module":"java","line":"{\"msg\":\"agent started\"}"}
{"level":"error","time":"2026-01-02T03:04:08.500Z","msg":"module ended","phase":"modules","module":"java","state":"failed","duration":1,"exit_code":75}
{"level":"info","time":"2026-01-02T03:04:08.700Z","msg":"module started","phase":"modules","module":"java","attempt":2}
{"level":"info","time":"2026-01-02T03:04:09.700Z","msg":"module ended","phase":"modules","module":"java","state":"succeeded","duration":1,"exit_code":0}
{"level":"info","time":"2026-01-02T03:04:09.700Z","msg":"module started","phase":"modules","module":"a-module-with-a-long-name-<b>","attempt":1}
`

const end = `{"level":"error","time":"2026-01-02T03:04:11.000Z","msg":"run failed","phase":"modules","exit_code":17,"duration":6,"bundle":"web","error":"timeout"}
`

func TestText(t *testing.T) {
	want, err := os.ReadFile("testdata/chart.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := draw(t, log+end)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(got) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
}

func draw(t *testing.T, log string) string {
	t.Helper()
	read, err := timeline.Read(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := read.Text(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestOfARunThatHasNotEndedSaysSo(t *testing.T) {
	got := draw(t, log)
	if !strings.HasPrefix(got, "web: not ended, 4.7s") || !strings.Contains(got, "2.2s…") {
		t.Error(got)
	}
}

// What hangs logs nothing: its bar must not end with the last line.
func TestARunThatGoesOnLastsUntilNow(t *testing.T) {
	read, err := timeline.Read(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	read.GoesOn(read.Started.Add(time.Minute), 0)
	last := read.Spans[len(read.Spans)-1]
	if read.End != time.Minute || last.To != time.Minute || !last.Open || !strings.HasPrefix(read.Title(), "web: running, 1m00s") {
		t.Errorf("%s, until %v: %+v", read.Title(), read.End, last)
	}
	if java := read.Spans[8]; java.Name != "java" || java.To >= time.Minute {
		t.Errorf("%+v", java)
	}

	ended, err := timeline.Read(strings.NewReader(log + end))
	if err != nil {
		t.Fatal(err)
	}
	if ended.GoesOn(ended.Started.Add(time.Minute), 0); ended.End != 6*time.Second || ended.Result != "failed" {
		t.Errorf("%+v", ended)
	}
}

func TestARunThatRebootsHasEnded(t *testing.T) {
	got := draw(t, log+strings.Replace(end, "run failed", journal.MessageRebooting, 1))
	if !strings.HasPrefix(got, "web: rebooting, 6.0s") || !strings.Contains(got, " 1.3s\n") {
		t.Error(got)
	}
}

func TestBootOfALongRunningMachineIsLeftOut(t *testing.T) {
	got := draw(t, strings.Replace(log, `"uptime":4`, `"uptime":400000`, 1))
	if strings.Contains(got, "boot") {
		t.Error(got)
	}
}

func TestNoLogIsNoTimeline(t *testing.T) {
	for _, text := range []string{"", "nonsense\n", `{"level":"info","time":"x","msg":"agent started"}` + "\n"} {
		if _, err := timeline.Read(strings.NewReader(text)); !errors.Is(err, journal.ErrNoLog) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSpansOverlapAndCarryRetries(t *testing.T) {
	read, err := timeline.Read(strings.NewReader(log + end))
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]timeline.Span{}
	var names []string
	for _, s := range read.Spans {
		by[s.Name] = s
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{"boot", "userdata", "metadata", "key", "bundle", "fetch", "unpack", "modules", "java", "java #2", "a-module-with-a-long-name-<b>"}, names); diff != "" {
		t.Error(diff)
	}
	if f, u := by["fetch"], by["unpack"]; u.From >= f.To || u.To <= f.To {
		t.Errorf("fetch %v–%v and unpack %v–%v do not overlap", f.From, f.To, u.From, u.To)
	}
	if len(by["fetch"].Marks) != 1 || !by["modules"].Failed || by["java #2"].Failed {
		t.Errorf("%+v", read.Spans)
	}
}

// Only every now and then is a try logged; how many there were is told at the end.
func TestAllTriesCountThoughFewAreLogged(t *testing.T) {
	begun := `{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"agent started"}
{"level":"info","time":"2026-01-02T03:04:05.000Z","msg":"phase started","phase":"bundle"}
{"level":"warn","time":"2026-01-02T03:04:05.000Z","msg":"mirror does not serve, going on","phase":"bundle","attempt":1}
{"level":"warn","time":"2026-01-02T03:04:06.000Z","msg":"mirror does not serve, going on","phase":"bundle","attempt":8}
`
	for name, test := range map[string]struct{ more, want string }{
		"so far":     {"", "8 retries"},
		"in vain":    {`{"level":"info","time":"2026-01-02T03:04:07.000Z","msg":"not fetched","phase":"bundle","attempt":12}` + "\n" + end, "11 retries"},
		"in the end": {`{"level":"info","time":"2026-01-02T03:04:07.000Z","msg":"fetching","phase":"bundle","attempt":12}` + "\n", "11 retries"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := draw(t, begun+test.more); !strings.Contains(got, test.want) {
				t.Errorf("no %s in\n%s", test.want, got)
			}
		})
	}
}

func TestSVGIsXMLWhateverTheNames(t *testing.T) {
	read, err := timeline.Read(strings.NewReader(log + end))
	if err != nil {
		t.Fatal(err)
	}
	var picture bytes.Buffer
	if err := read.SVG(&picture); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(picture.Bytes()))
	rects := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			rects++
		}
	}
	if want := 1 + 2*len(read.Spans) + 1; rects != want {
		t.Errorf("%d rectangles, want %d", rects, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(log + end))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := timeline.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		if err := errors.Join(read.Text(io.Discard), read.SVG(io.Discard)); err != nil {
			t.Error(err)
		}
	})
}
