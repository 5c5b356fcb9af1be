//go:build !linux

package seccomp

import "os"

// Install refuses: there is no such filter here.
func Install(Options) (*os.File, error) { return nil, ErrUnsupported }
