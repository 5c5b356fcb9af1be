//go:build unix

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

// TestMain lets this test binary stand in for zavhoz: a copy of it under that name is the first on PATH, and a daemon that it starts is itself again.
// So the race detector watches both sides.
func TestMain(m *testing.M) {
	sandbox.Main()
	// the race detector lets every process sleep a second at its end; thousands of commands run here, and daemons that somebody waits for
	_ = os.Setenv("GORACE", "atexit_sleep_ms=10 "+os.Getenv("GORACE"))
	daemonVars = append(daemonVars, "GORACE")
	testscript.Main(m, map[string]func(){
		"zavhoz": func() { os.Exit(Main()) },
		"probe":  probe,

		"age-plugin-mirror": mirrorPlugin,
	})
}
