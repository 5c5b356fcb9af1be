//go:build !unix

package process

import "os"

var (
	terminate = os.Kill // no gentle signal here
	kill      = os.Kill
)

func signalGroup(leader int, s os.Signal) {
	if p, err := os.FindProcess(leader); err == nil {
		_ = p.Signal(s)
		_ = p.Release()
	}
}

func exitOf(state *os.ProcessState) Exit { return Exit{Code: state.ExitCode()} }
