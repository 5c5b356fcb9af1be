// Package process starts one command and sees it to its end: a clean start, a bounded life, nothing left behind that it can reach.
//
// Promise: the command gets exactly the environment, descriptors and standard input of its Spec; nothing is inherited from the daemon: every
// other descriptor is closed on exec, also those the daemon itself was started with; there is no terminal. A pinned binary is opened
// once, checked and executed by that same descriptor (see Binary). When the leader exits, what stays in its process group is killed; a
// grandchild that holds a pipe cannot hang the run.
//
// Attacks stopped: inherited descriptors (threat-model.md 26), a terminal pushed into (27), core files (24), a binary swapped between check and
// start (51), the protocol's own stream as standard input (61). Not stopped here: a descendant that makes a session of its own outlives the run
// (33, "weak"): the confinement that wraps a Spec closes that.
//
// The package is light on purpose: the person's `zavhoz run --open` links it and has a budget of a few plain execs.
package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Spec is all that a process gets. Nothing else reaches it.
type Spec struct {
	Binary *Binary  // the checked binary; nil: Path is started as it is (a person's own command)
	Path   string   // absolute; only where Binary is nil
	Argv   []string // as the program shall see it; argv[0] included
	Env    []string // complete; nil means empty, never the daemon's
	Dir    string
	Input  []byte    // what the command reads from a pipe; nil with a nil Stdin: the null device
	Stdin  *os.File  // passed as it is; for a person's own command
	Stdout io.Writer // nil: discarded. An *os.File is passed as it is. One that blocks is waited for until Kill
	Stderr io.Writer
	Files  []*os.File // inherited as descriptors 3, 4, …; the caller keeps and closes its own
	// Attached leaves the command in the caller's session and process group, so that a person's terminal works. Only for a
	// person's own command.
	Attached  bool
	Grace     time.Duration // between TERM and KILL; default 2 s
	WaitDelay time.Duration // how long the pipes may stay open after the end; default 1 s
}

// Exit is how a process ended.
type Exit struct {
	Code     int    // its own, or 128+signal as shells count
	Signal   string // "killed", "terminated", …; "" where it exited by itself
	PipesCut bool   // a descendant outside the group still held an output pipe, which was closed
}

// The sentinels of this package.
var (
	ErrNoCommand = errors.New("process: a Spec needs argv and a binary or path")
	errRelative  = errors.New("process: the path must be absolute")
)

const (
	defaultGrace     = 2 * time.Second
	defaultWaitDelay = time.Second
	busyTries        = 40
	busyPause        = 5 * time.Millisecond
)

// Process is a started command. It is safe for concurrent use.
type Process struct {
	spec Spec
	proc *os.Process
	io   *Streams

	mu     sync.Mutex
	reaped bool // the pid may belong to somebody else from now on
	killed *time.Timer

	over sync.Once
	dead chan struct{} // closed by Kill: from then on nothing is waited for without a bound
	done chan struct{}
	exit Exit
}

// Start starts what spec says. The caller may close spec.Binary and spec.Files once it returns.
func Start(spec Spec) (*Process, error) {
	if len(spec.Argv) == 0 || (spec.Binary == nil) == (spec.Path == "") {
		return nil, ErrNoCommand
	}
	if spec.Grace <= 0 {
		spec.Grace = defaultGrace
	}
	if spec.WaitDelay <= 0 {
		spec.WaitDelay = defaultWaitDelay
	}
	pl, err := NewStreams(spec.Input, spec.Stdin, spec.Stdout, spec.Stderr)
	if err != nil {
		return nil, err
	}
	p := &Process{spec: spec, io: pl, dead: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error, 1)
	go p.live(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// live starts the process and waits for its end on one goroutine, which on Linux is one thread: Pdeathsig is tied to the thread that forked.
func (p *Process) live(started chan<- error) {
	defer close(p.done)
	unpin := pinThread()
	defer unpin()
	proc, err := p.fork()
	p.io.Started()
	if err != nil {
		p.io.Abandon()
		started <- err
		return
	}
	p.proc = proc
	p.io.Run()
	started <- nil
	p.reap()
}

// fork executes the binary, by its descriptor where the system can.
func (p *Process) fork() (*os.Process, error) {
	closeOnExec()
	noCore()
	path, argv, files := p.spec.Path, p.spec.Argv, append(p.io.Child[:], p.spec.Files...)
	if p.spec.Binary != nil {
		var err error
		if path, argv, files, err = p.spec.Binary.prepare(argv, files); err != nil {
			return nil, err
		}
	}
	env := p.spec.Env
	if env == nil {
		env = []string{} // nil would mean the daemon's own
	}
	attr := &os.ProcAttr{Dir: p.spec.Dir, Env: env, Files: files, Sys: attributes(p.spec.Attached)}
	for try := 1; ; try++ {
		proc, err := os.StartProcess(path, argv, attr)
		if err == nil || !busy(err) || try == busyTries {
			return proc, err
		}
		time.Sleep(busyPause)
	}
}

// reap waits for the leader, kills what is left of its group while the zombie still holds the group's number, then collects both.
func (p *Process) reap() {
	awaitExit(p.proc.Pid)
	p.mu.Lock()
	if !p.spec.Attached {
		signalGroup(p.proc.Pid, kill)
	}
	state, err := p.proc.Wait()
	p.reaped = true
	p.mu.Unlock()
	if err != nil {
		p.exit = Exit{Code: -1}
	} else {
		p.exit = exitOf(state)
	}
	p.exit.PipesCut = p.io.Finish(p.spec.WaitDelay, p.dead)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed != nil {
		p.killed.Stop()
	}
}

// Pid is the leader's process id.
func (p *Process) Pid() int { return p.proc.Pid }

// Done is closed when the process has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done and tells how it ended.
func (p *Process) Wait() Exit {
	<-p.done
	return p.exit
}

// Stop asks the group to end, and kills it after the grace. It does not wait. It may be called at any time, more than once.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed != nil || p.ended() {
		return
	}
	p.signal(terminate)
	p.killed = time.AfterFunc(p.spec.Grace, p.Kill)
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the group at once, and the wait for a writer that blocks.
func (p *Process) Kill() {
	p.over.Do(func() { close(p.dead) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(kill)
}

// signal runs under mu: after reaped the number may be another's.
func (p *Process) signal(s os.Signal) {
	if p.reaped {
		return
	}
	if p.spec.Attached {
		_ = p.proc.Signal(s)
		return
	}
	signalGroup(p.proc.Pid, s)
}
