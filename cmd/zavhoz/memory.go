package main

import (
	"runtime"
	"runtime/debug"
)

// giveBack hands memory that nothing uses any more to the system, which clears it: there lie copies of what was opened that nobody could overwrite (of ciphers, decoders, the age library). It collects
// twice, for what net/http keeps for its next request survives once. What shares a page with something that lives on stays (docs/unlocking.md).
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}
