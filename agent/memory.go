package agent

import (
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	// unpackMemory is what the runtime may take while a bundle is fetched and
	// unpacked, in bytes. Some 14 MiB of it are in use, and 20 with the largest window
	// that a bundle may have: the ranges that arrive, the decompressor's window, what
	// lies between the stages.
	unpackMemory = 32 << 20

	// hugeMemory is how much of it comes in huge pages: what is in use, and room for
	// garbage.
	hugeMemory = 24 << 20
)

// boundMemory makes garbage be collected where the memory reaches unpackMemory,
// and not each time it has doubled: never for a small bundle, and a large one,
// whose buffers would be kept twice, fits small instances. What needs more, as
// the key of a passphrase bundle, gets it. restore brings the usual rule back, and
// gives the memory to the modules.
func boundMemory() (restore func()) {
	limit, percent := debug.SetMemoryLimit(unpackMemory), debug.SetGCPercent(-1)
	preferHugePages()
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
		debug.FreeOSMemory()
	}
}

// preferHugePages makes the memory that the runtime hands out next come in pages of
// 2 MiB, where the kernel has them for who asks (madvise(2)): the first touch of each
// page interrupts the program, and most buffers here are filled for the first time.
// The runtime has no setting for that. So address space is taken from it, marked
// and given back; nothing here touches it.
func preferHugePages() {
	_ = unix.Madvise(make([]byte, hugeMemory), unix.MADV_HUGEPAGE) // a wish: without it all goes as well
	runtime.GC()
}
