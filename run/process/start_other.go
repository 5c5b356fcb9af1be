//go:build !linux

package process

import "os"

// pinThread: no signal of the parent's death here, so no thread to keep.
func pinThread() func() { return func() {} }

// awaitExit: the wait that follows reaps. What is left of the group is signalled after it.
func awaitExit(int) {}

// widen: only Linux lets a pipe grow.
func widen(*os.File) {}
