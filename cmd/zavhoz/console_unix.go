//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// console is the terminal that controls this process, whatever its standard streams are.
const console = "/dev/tty"

// drain throws away what was typed and not read yet.
func drain(tty *os.File) error {
	fd := int(tty.Fd())
	now, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return err
	}
	return unix.IoctlSetTermios(fd, flushTermios, now)
}

// hide turns the echo off, before a prompt tells that it is off: who types at once would else be seen. What it gives turns the terminal back.
func hide(tty *os.File) (restore func(), err error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, setTermios, &quiet); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTermios, before) }, nil
}
