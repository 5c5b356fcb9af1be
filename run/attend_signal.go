package run

import (
	"syscall"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

// signals are those that a person's side may pass on, by the names of the wire.
var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT}

// signalTo passes a signal on to the command.
func signalTo(proc *sandbox.Process, name string) {
	if s, ok := signals[name]; ok {
		proc.Signal(s)
	}
}
