//go:build !linux

package sandbox

import "syscall"

// Signal does nothing: no command starts here.
func (p *Process) Signal(syscall.Signal) {}
