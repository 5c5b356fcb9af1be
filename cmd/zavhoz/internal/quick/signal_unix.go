//go:build unix

package quick

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
)

// inForeground tells whether a terminal sends us what is typed.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func forward(p *process.Process, s os.Signal) {
	select {
	case <-p.Done(): // its number may be another's by now
	default:
		_ = unix.Kill(p.Pid(), s.(syscall.Signal))
	}
}

// hangUp tells the command that nobody reads what it writes: by the signal that a pipe would send; where it does not heed that, it is stopped.
func hangUp(p *process.Process) {
	forward(p, syscall.SIGPIPE)
	p.Stop()
}
