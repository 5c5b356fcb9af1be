package quick

import (
	"os"

	"github.com/zavhoz/zavhoz/run/process"
)

// inForeground: a console sends what is typed to every process that is attached to it.
func inForeground() bool { return true }

func forward(p *process.Process, _ os.Signal) { p.Stop() }

func hangUp(p *process.Process) { p.Stop() }
