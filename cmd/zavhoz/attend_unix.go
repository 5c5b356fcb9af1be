//go:build unix

package main

import (
	"os"
	"syscall"
)

// sizeSignals say that the terminal has another size.
var sizeSignals = []os.Signal{syscall.SIGWINCH}
