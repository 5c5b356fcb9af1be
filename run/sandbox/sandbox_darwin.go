package sandbox

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox/private"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// macOS has no namespaces: the level proxied confines by sandbox-exec, to the run's own listeners on this machine's loopback. Untried: it compiles, and
// what it makes of a Spec is tested elsewhere (proxied.go).

// Sandbox makes boxes.
type Sandbox struct {
	o        Options
	folders  *private.Folders
	sweeping sync.WaitGroup

	mu    sync.Mutex
	boxes map[*Box]bool
}

// Box is a private home.
type Box struct {
	s    *Sandbox
	dir  string
	home string

	mu     sync.Mutex
	live   map[*Process]bool
	closed bool
}

// Process is a confined command.
type Process struct {
	box       *Box
	spec      process.Spec
	listeners map[string]net.Listener

	mu    sync.Mutex
	proc  *process.Process
	ended bool
	done  chan struct{}
	exit  process.Exit
}

type composer struct{}

const sandboxExec = "/usr/bin/sandbox-exec"

func newSandbox(o Options) (*Sandbox, error) {
	s := &Sandbox{o: o, folders: private.New(o.TempDir, false), boxes: map[*Box]bool{}}
	s.sweeping.Go(func() {
		if err := private.Sweep(o.TempDir); err != nil && o.Log != nil {
			o.Log.Warn("what a killed daemon left behind could not be removed", "error", err)
		}
	})
	return s, nil
}

// Main does nothing: there is no launcher here.
func Main() {}

// Probe looks for sandbox-exec.
func (s *Sandbox) Probe(context.Context) Report {
	if !executable(sandboxExec) {
		return Report{Level: policy.LevelOpen, Features: []Feature{{Name: "sandbox_exec", Lost: "commands with resources are not confined, and refused", Fix: "restore " + sandboxExec + " of the system"}}}
	}
	return Report{Level: policy.LevelProxied, Features: []Feature{
		{Name: "sandbox_exec", OK: true},
		{Name: "namespaces", Lost: "a descendant may outlive its run, and memory is not bounded; there is no level above proxied", Fix: "run the daemon on Linux"},
	}}
}

func executable(p string) bool {
	st, err := os.Stat(p)
	return err == nil && (st.IsDir() || st.Mode()&0o111 != 0)
}

func (s *Sandbox) open(BoxOptions, policy.Level) (*Box, error) {
	dir, err := s.folders.Make("box-") // no link in it: rules on links match nothing
	if err != nil {
		return nil, internal("make a folder", err)
	}
	b := &Box{s: s, dir: dir, home: filepath.Join(dir, "home"), live: map[*Process]bool{}}
	if err := os.MkdirAll(b.Temp(), 0o700); err != nil {
		return nil, internal("make the home", err)
	}
	s.enter(b)
	return b, nil
}

// Close ends every box.
func (s *Sandbox) Close() error {
	first := s.closeBoxes()
	s.sweeping.Wait()
	if err := s.folders.Close(); err != nil && first == nil {
		first = internal("remove a folder", err)
	}
	return first
}

// Level is proxied.
func (b *Box) Level() policy.Level { return policy.LevelProxied }

// Home is the private, writable folder.
func (b *Box) Home() string { return b.home }

// Temp is where temporary files go.
func (b *Box) Temp() string { return filepath.Join(b.home, "tmp") }

// Environment is what a command must be told of the box.
func (b *Box) Environment() []string {
	return []string{"HOME=" + b.home, "TMPDIR=" + b.Temp(), "GIT_CONFIG_NOSYSTEM=1"}
}

// Named is false: the machine's own files are what they are.
func (b *Box) Named() bool { return false }

// Start makes the process ready; it waits for Run.
func (b *Box) Start(_ context.Context, spec Spec) (*Process, error) {
	argv, err := proxied(spec, b.home, b.s.o.Protected, executable)
	if err != nil {
		return nil, err
	}
	if err := plant(b.home, spec.Files, func(*os.Root, string) error { return nil }); err != nil {
		return nil, err
	}
	p := &Process{box: b, listeners: map[string]net.Listener{}, done: make(chan struct{})}
	for _, l := range spec.Listen {
		ln, err := net.Listen("tcp", l.Addr)
		if err != nil {
			p.release()
			return nil, fault.Newf(fault.InvalidArgument, "the box cannot listen at %s", quoted(l.Addr)).Because(err)
		}
		p.listeners[l.Name] = ln
	}
	dir := spec.Dir
	if dir == "" {
		dir = b.home
	}
	p.spec = process.Spec{Path: sandboxExec, Argv: argv, Env: spec.Env, Dir: dir, Input: spec.Input, Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr,
		Files: spec.Inherit, Grace: spec.Grace, WaitDelay: spec.WaitDelay}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		p.release()
		return nil, ErrClosed
	}
	b.live[p] = true
	return p, nil
}

// Changes lists none: there are no overlays.
func (b *Box) Changes() ([]Change, error) { return nil, nil }

// Keep has nothing to do.
func (b *Box) Keep() error { return nil }

// Close ends what still runs and removes the home.
func (b *Box) Close() error {
	b.mu.Lock()
	b.closed = true
	var live []*Process
	for p := range b.live {
		live = append(live, p)
	}
	b.mu.Unlock()
	for _, p := range live {
		p.Kill()
		p.Wait()
	}
	b.s.forget(b)
	if err := private.Remove(b.dir); err != nil {
		return internal("remove a folder", err)
	}
	return nil
}

func (p *Process) release() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
}

// Listener gives the listener of that name, nil if the Spec had none.
func (p *Process) Listener(name string) net.Listener {
	if l, ok := p.listeners[name]; ok {
		return l
	}
	return nil
}

// Run starts the command.
func (p *Process) Run() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc != nil || p.ended {
		return ErrStarted
	}
	proc, err := process.Start(p.spec)
	if err != nil {
		p.end(process.Exit{Code: fault.ExitRunNotFound})
		return internal("start the command", err)
	}
	p.proc = proc
	go func() {
		exit := proc.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.end(exit)
	}()
	return nil
}

// end runs under mu.
func (p *Process) end(exit process.Exit) {
	if p.ended {
		return
	}
	p.ended, p.exit = true, exit
	p.release()
	p.box.mu.Lock()
	delete(p.box.live, p)
	p.box.mu.Unlock()
	close(p.done)
}

// Done is closed when the process has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done and tells how it ended.
func (p *Process) Wait() process.Exit {
	<-p.done
	return p.exit
}

// Stop asks the command's group to end, and kills it after the grace.
func (p *Process) Stop() { p.quit((*process.Process).Stop) }

// Kill ends the group at once.
func (p *Process) Kill() { p.quit((*process.Process).Kill) }

func (p *Process) quit(how func(*process.Process)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc != nil {
		how(p.proc)
		return
	}
	p.end(process.Exit{Code: 137, Signal: "SIGKILL"})
}

// Cut is nil: there are no layers to bound.
func (p *Process) Cut() error { return nil }

// Terminal gives none.
func (p *Process) Terminal() (*os.File, func(rows, cols int)) { return nil, nil }
