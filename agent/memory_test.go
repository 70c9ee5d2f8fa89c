package agent

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// It is run in a process of its own: memory that was used and given back to the
// system once comes again in small pages.
func TestBuffersComeInHugePages(t *testing.T) {
	const own = "STARTUP_TEST_OWN_PROCESS"
	if os.Getenv(own) == "" {
		program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		program.Env = append(os.Environ(), own+"=1")
		out, err := program.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("%s", out)
		}
		return
	}
	const size = 16 << 20
	asked, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(asked) })
	before := hugePages(t)
	if unix.Madvise(asked, unix.MADV_HUGEPAGE) != nil || hugePagesOf(t, asked, before) == 0 {
		t.Skip("the kernel gives this program no huge pages")
	}

	preferHugePages()
	before = hugePages(t)
	if got := hugePagesOf(t, make([]byte, size), before); got < size/2 {
		t.Errorf("%d of %d bytes came in huge pages", got, size)
	}
}

func TestMemoryIsGivenBackBeforeModulesRun(t *testing.T) {
	restore := boundMemory()
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += os.Getpagesize() {
		held[i] = 1
	}
	restore()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if kept := m.HeapSys - m.HeapReleased; kept > uint64(len(held))/2 {
		t.Errorf("the runtime keeps %d bytes, of which %d are garbage", kept, len(held))
	}
}

// hugePagesOf touches b and returns how many more bytes than before lie in huge pages.
func hugePagesOf(t *testing.T, b []byte, before int) int {
	t.Helper()
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	after := hugePages(t)
	runtime.KeepAlive(b)
	return after - before
}

// hugePages returns how many bytes of the program's memory lie in huge pages.
func hugePages(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "AnonHugePages:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
