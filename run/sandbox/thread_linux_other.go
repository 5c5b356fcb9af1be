//go:build linux && !amd64

package sandbox

// threadData is not to be had by a system call here.
func threadData() (uintptr, bool) { return 0, false }
