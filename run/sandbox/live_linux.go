package sandbox

import (
	"encoding/binary"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// What is waited for at an end. Whoever could still hold the other end of something (a process in a call of a dead disk, one that was stopped, one that was never
// ours) delays the end by this much, and no more.
const (
	killWithin = 10 * time.Second // from the word to end until the first process is given up
	lastWords  = time.Second      // from the first process's end until nothing more is expected of its sockets and pipes
)

// Run lets the command start and returns once it is executed. Faults: binary_missing where the kernel refuses to execute it; Wait then tells 127.
func (p *Process) Run() error {
	p.mu.Lock()
	if p.let {
		p.mu.Unlock()
		return ErrStarted
	}
	p.let = true
	p.mu.Unlock()
	defer close(p.ran)
	if _, err := p.ctl.Write([]byte{goAhead}); err != nil {
		return fault.New(fault.Canceled, "the run ended before its command started", "").Because(err)
	}
	b := make([]byte, 4)
	if n, _ := io.ReadFull(p.execs, b); n == len(b) {
		return p.missing(unix.Errno(-int32(binary.NativeEndian.Uint32(b))))
	}
	return nil
}

// live sees the process to its end. What it waits for is bounded by the end of the first process (watch), and that by Kill.
func (p *Process) live() {
	defer close(p.done)
	p.streams.Run()
	p.exit = process.Exit{Code: 128 + int(unix.SIGKILL), Signal: unix.SignalName(unix.SIGKILL)} // unless it can tell
	var watching sync.WaitGroup
	watching.Go(p.watch)
	var m *meter
	if list := p.box.Layers().list; len(list) > 0 {
		m = newMeter(list, p.spec.Limits)
		watching.Go(func() { p.meter(m) })
	}
	for told := false; !told; { // the end is the last that it tells, or that of the socket
		m, fds, err := p.hear()
		closeFDs(fds)
		told = err != nil || m.kind == noteEnded
		switch m.kind {
		case noteEnded:
			p.exit = exitOf(syscall.WaitStatus(m.a))
		case noteFailed:
			p.late = p.failure(m)
		}
	}
	watching.Wait()
	p.leave()
	p.mu.Lock()
	let := p.let
	if m != nil && p.cut == nil && !p.left { // its last writes
		_, p.cut = measure(m.list, m.bytes, m.files, true)
	}
	p.mu.Unlock()
	p.exit.PipesCut = p.streams.Finish(p.spec.WaitDelay, p.dead)
	if let {
		<-p.ran // it still reads why the command was not executed
	}
	p.mu.Lock()
	if p.ending != nil {
		p.ending.Stop()
	}
	p.mu.Unlock()
	if !p.left { // else the box stays busy: nobody keeps what may still change
		p.box.ended(p)
		p.lastGuests()
	}
	p.release()
}

// lastGuests waits until the connections that the command made are accepted, or nobody wants them.
func (p *Process) lastGuests() {
	if p.broker == nil {
		return
	}
	select {
	case <-p.broker.Done():
	case <-p.dead:
	case <-time.After(lastWords):
	}
}

// watch waits for the first process's end. From then on nobody is left who may write to the control socket, or hold the pipe that tells of the exec.
func (p *Process) watch() {
	p.left = !p.shim.gone()
	close(p.gone)
	soon := time.Now().Add(lastWords)
	_, _ = p.ctl.SetReadDeadline(soon), p.execs.SetReadDeadline(soon)
}

func exitOf(ws syscall.WaitStatus) process.Exit {
	if ws.Signaled() {
		return process.Exit{Code: 128 + int(ws.Signal()), Signal: unix.SignalName(ws.Signal())}
	}
	return process.Exit{Code: ws.ExitStatus()}
}

func (b *Box) ended(p *Process) {
	b.mu.Lock()
	delete(b.live, p)
	b.mu.Unlock()
}

// Done is closed when nothing of the process is left and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done and tells how it ended.
func (p *Process) Wait() process.Exit {
	<-p.done
	return p.exit
}

// Stop asks the command's group to end, and kills the box after the grace. It does not wait. It may be called at any time, more than once.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dying || p.ending != nil || p.ended() {
		return
	}
	if !p.let { // it waits for a word that will not come
		p.end()
		return
	}
	const toGroup = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP: Linux 6.9
	command := child{pidfd: p.command}
	if command.signal(unix.SIGTERM, toGroup) == unix.EINVAL {
		_ = command.signal(unix.SIGTERM, 0)
	}
	p.ending = time.AfterFunc(p.spec.Grace, p.Kill)
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends everything at once.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// end kills the namespace by its first process, or has basic's first process kill the run: it alone can tell what belongs to it. It runs under mu.
func (p *Process) end() {
	if p.dying {
		return
	}
	p.dying = true
	close(p.dead)
	if p.ended() {
		return
	}
	if p.ending != nil {
		p.ending.Stop()
	}
	p.ending = time.AfterFunc(p.box.s.patience, func() { p.giveUp(lastWords) })
	if p.box.Named() {
		_ = p.shim.signal(unix.SIGKILL, 0)
		return
	}
	_ = p.shim.signal(unix.SIGTERM, 0)
	_ = p.shim.signal(unix.SIGCONT, 0) // somebody of the same user may have stopped it
	if p.group != nil {
		_ = p.group.Kill()
	}
}

// giveUp kills the first process without asking, and the command, which dies with it; and waits no longer than that for their end.
func (p *Process) giveUp(within time.Duration) {
	_ = p.shim.signal(unix.SIGKILL, 0)
	if p.command != nil {
		_ = child{pidfd: p.command}.signal(unix.SIGKILL, 0)
	}
	_ = p.shim.pidfd.SetReadDeadline(time.Now().Add(within))
}
