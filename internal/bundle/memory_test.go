package bundle_test

import (
	"runtime"
	"testing"

	"startup-bundle/internal/bundle"
)

func TestMemoryDoesNotGrowWithTheBundle(t *testing.T) {
	taken := func(megabytes int) uint64 {
		r := newRoom(t)
		if _, err := r.unpack(stream(t, megabytes), identityKey(), bundle.Limits{Ratio: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.Sys
	}
	first := taken(16)
	if grown := taken(200) - first; grown > 64<<20 {
		t.Errorf("a bundle larger by 184 MiB took %d MiB more", grown>>20)
	}
}
