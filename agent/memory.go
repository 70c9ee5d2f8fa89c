package agent

import "runtime/debug"

// unpackMemory is what the runtime may take while a bundle is fetched and
// unpacked, in bytes. Some 16 MiB of it are in use, and 22 with the largest window
// that a bundle may have: the ranges that arrive, the decompressor's window, what
// lies between the stages.
const unpackMemory = 32 << 20

// boundMemory makes garbage be collected where the memory reaches unpackMemory,
// and not each time it has doubled: never for a small bundle, and a large one,
// whose buffers would be kept twice, fits small instances. What needs more, as
// the key of a passphrase bundle, gets it. restore brings the usual rule back.
func boundMemory() (restore func()) {
	limit, percent := debug.SetMemoryLimit(unpackMemory), debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}
