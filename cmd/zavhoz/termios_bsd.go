//go:build unix && !linux && !aix && !solaris

package main

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA

	flushTermios = unix.TIOCSETAF // and throws away what was typed
)
