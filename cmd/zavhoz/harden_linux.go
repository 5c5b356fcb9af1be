package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// harden makes the daemon's memory unreadable to other processes of its uid (threat-model.md 19, 21, 62) and keeps core files from holding it (24): not
// dumpable, and a core limit of 1 byte, for 0 is ignored where cores are piped to a program. Best effort: doctor shows what holds.
func harden() {
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	lim := unix.Rlimit{Cur: 1, Max: 1}
	if unix.Setrlimit(unix.RLIMIT_CORE, &lim) != nil {
		lim.Max = math.MaxUint64
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &lim)
	}
}
