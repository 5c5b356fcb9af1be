package run

import "github.com/zavhoz/zavhoz/run/sandbox"

// signalTo passes a signal on to the command.
func signalTo(proc *sandbox.Process, name string) {
	switch name {
	case "INT", "QUIT", "TERM", "HUP":
		proc.Stop()
	}
}
