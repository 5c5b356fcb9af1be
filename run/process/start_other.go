//go:build !linux

package process

// pinThread: no signal of the parent's death here, so no thread to keep.
func pinThread() func() { return func() {} }

// awaitExit: the wait that follows reaps. What is left of the group is signalled after it.
func awaitExit(int) {}
