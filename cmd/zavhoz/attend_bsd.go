//go:build unix && !linux && !aix && !solaris

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushInput throws away what is typed and unread.
func flushInput(f *os.File) {
	const read = 1 // FREAD
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCFLUSH, read)
}
