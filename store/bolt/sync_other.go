//go:build !linux

package bolt

import "os"

// datasync makes a file durable; on macOS as far as the disk's own medium.
func datasync(f *os.File) error { return f.Sync() }
