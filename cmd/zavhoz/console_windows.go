package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// console is the console's input, whatever the standard streams are.
const console = "CONIN$"

// drain throws away what was typed and not read yet.
func drain(tty *os.File) error { return windows.FlushConsoleInputBuffer(windows.Handle(tty.Fd())) }

// hide turns the echo off, before a prompt tells that it is off. What it gives turns the console back.
func hide(tty *os.File) (restore func(), err error) {
	h := windows.Handle(tty.Fd())
	var before uint32
	if err := windows.GetConsoleMode(h, &before); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(h, before&^windows.ENABLE_ECHO_INPUT); err != nil {
		return nil, err
	}
	return func() { _ = windows.SetConsoleMode(h, before) }, nil
}
