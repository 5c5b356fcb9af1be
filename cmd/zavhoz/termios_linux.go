package main

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS

	flushTermios = unix.TCSETSF // and throws away what was typed
)
