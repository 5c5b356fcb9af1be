//go:build unix

package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	terminate os.Signal = syscall.SIGTERM
	kill      os.Signal = syscall.SIGKILL
)

// signalGroup signals every process of the group that the leader founded. The leader is not yet reaped, so the number is still its own.
func signalGroup(leader int, s os.Signal) {
	_ = syscall.Kill(-leader, s.(syscall.Signal))
}

func exitOf(state *os.ProcessState) Exit {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return Exit{Code: 128 + int(ws.Signal()), Signal: unix.SignalName(ws.Signal())}
	}
	return Exit{Code: state.ExitCode()}
}
