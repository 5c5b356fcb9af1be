package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushInput throws away what is typed and unread.
func flushInput(f *os.File) { _ = unix.IoctlSetInt(int(f.Fd()), unix.TCFLSH, unix.TCIFLUSH) }
