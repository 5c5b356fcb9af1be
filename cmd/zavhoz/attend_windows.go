package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// sizeSignals: a console tells of its size in no such way.
var sizeSignals []os.Signal

// flushInput throws away what is typed and unread.
func flushInput(f *os.File) { _ = windows.FlushConsoleInputBuffer(windows.Handle(f.Fd())) }
