package sandbox

import (
	"context"
	"net"
	"os"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Box is the place that one run happens in.
type Box struct{}

// Level is the level that the box has.
func (b *Box) Level() policy.Level { return policy.LevelOpen }

// Home is the private, writable, empty folder, as the command sees it.
func (b *Box) Home() string { return "" }

// Temp is where temporary files go (TMPDIR), as the command sees it.
func (b *Box) Temp() string { return "" }

// Named tells whether system files such as /etc/hosts can be replaced and ports below 1024 listened on: at sealed and above.
func (b *Box) Named() bool { return false }

// Start makes the process ready; it waits for Run.
func (b *Box) Start(context.Context, Spec) (*Process, error) { return nil, ErrClosed }

// Changes lists what the overlay working directories would gain and lose.
func (b *Box) Changes() ([]Change, error) { return nil, nil }

// Keep applies the changes to the real folders.
func (b *Box) Keep() error { return nil }

// Close ends what still runs and removes everything.
func (b *Box) Close() error { return nil }

// Process is a confined command.
type Process struct{ done chan struct{} }

// Listener gives the listener of that name, nil if the Spec had none.
func (p *Process) Listener(string) net.Listener { return nil }

// Run lets the command start. Faults: binary_missing.
func (p *Process) Run() error { return nil }

// Done is closed when nothing of the run is left and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done.
func (p *Process) Wait() process.Exit { <-p.done; return process.Exit{} }

// Stop asks the command to end, and kills the box after the grace.
func (p *Process) Stop() {}

// Kill ends everything at once.
func (p *Process) Kill() {}

// Terminal gives the master side, and what sets its size. Nil where the Spec asked for none.
func (p *Process) Terminal() (*os.File, func(rows, cols int)) { return nil, nil }
