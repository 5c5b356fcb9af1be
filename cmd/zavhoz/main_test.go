//go:build unix

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets this test binary stand in for zavhoz: a copy of it under that name is the first on PATH, and a daemon that it starts is itself again.
// So the race detector watches both sides.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"zavhoz": func() { os.Exit(Main()) },
		"probe":  probe,
	})
}
