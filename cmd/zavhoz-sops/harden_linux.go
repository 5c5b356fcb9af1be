package main

import (
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of one helper: a file of wire.MaxFile fits, an expanding one does not.
const (
	maxMemory = 3 << 30 // bytes
	maxCPU    = 120     // seconds
)

// harden takes from this process what it has no use for: cores and being read by its own uid; new descriptors (no file, no socket); writing files;
// children; endless memory and time. Each is best effort: the daemon bounds and kills in any case.
func harden() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	time.NewTimer(time.Hour).Stop() // the runtime's poller wants its descriptors before there are no more
	for what, most := range map[int]uint64{
		unix.RLIMIT_CORE:   0,
		unix.RLIMIT_FSIZE:  0,
		unix.RLIMIT_NOFILE: 0,
		unix.RLIMIT_DATA:   maxMemory,
		unix.RLIMIT_CPU:    maxCPU,
	} {
		_ = unix.Setrlimit(what, &unix.Rlimit{Cur: most, Max: most})
	}
	debug.SetMemoryLimit(maxMemory / 2)
}
