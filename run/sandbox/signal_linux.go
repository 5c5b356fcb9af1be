package sandbox

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Signal sends a signal to the command's group, as a terminal would: where the kernel cannot (before Linux 6.9), to the command alone. It does nothing before Run.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.let || p.ended() {
		return
	}
	const toGroup = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP
	command := child{pidfd: p.command}
	if command.signal(s, toGroup) == unix.EINVAL {
		_ = command.signal(s, 0)
	}
}
