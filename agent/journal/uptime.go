package journal

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Uptime returns how long the kernel has run, time asleep included: the clock that
// nobody can set, and that all processes of one boot share. 0: the kernel does not
// tell.
func Uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// UptimeSeconds is Uptime as the log and the record have it: in seconds, to the
// millisecond.
func UptimeSeconds() float64 { return math.Round(Uptime().Seconds()*1e3) / 1e3 }
