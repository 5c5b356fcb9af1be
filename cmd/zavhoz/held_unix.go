//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// held tells whether a process holds the vault's file: the kernel frees its lock when the holder ends, however it ends.
func held(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == unix.EWOULDBLOCK
}
