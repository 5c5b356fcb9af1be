//go:build !linux

package main

import (
	"os"
	"time"
)

func datasync(f *os.File) error { return f.Sync() }

var begun = time.Now()

// worked is the time that has passed, where processor time is not asked for.
func worked() time.Duration { return time.Since(begun) }
