//go:build !linux

package redact

import "time"

var began = time.Now()

// cpuTime is the wall where we have nothing better.
func cpuTime() time.Duration { return time.Since(began) }
