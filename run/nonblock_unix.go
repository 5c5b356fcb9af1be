//go:build unix

package run

import "syscall"

// nonblock opens a FIFO without waiting for its other end.
const nonblock = syscall.O_NONBLOCK
