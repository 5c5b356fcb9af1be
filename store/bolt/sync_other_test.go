//go:build !linux

package bolt_test

import "os"

func datasync(f *os.File) error { return f.Sync() }
