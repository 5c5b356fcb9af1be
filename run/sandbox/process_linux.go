package sandbox

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox/cgroup"
	"github.com/zavhoz/zavhoz/run/sandbox/connect"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Process is a confined command. It is safe for concurrent use.
type Process struct {
	box       *Box
	spec      Spec
	what      []string // of the recipe's steps, for errors
	shim      child    // the first process of the box
	command   *os.File // a pidfd
	ctl       *net.UnixConn
	execs     *os.File
	streams   *process.Streams
	listeners map[string]net.Listener
	tty       *os.File
	broker    *connect.Broker // at basic
	group     *cgroup.Group   // nil: none

	mu     sync.Mutex
	let    bool
	dying  bool        // it was told to end at once
	ending *time.Timer // until it is

	gone chan struct{} // closed once the first process has ended
	dead chan struct{} // closed by Kill: from then on nothing is waited for without a bound
	ran  chan struct{} // closed once Run knows
	done chan struct{}
	exit process.Exit
	late error // a step that failed after the word
	left bool  // its first process did not end
	cut  error // why the walls ended it
}

// newProcess makes one that nothing has been done for.
func (b *Box) newProcess(spec Spec) *Process {
	return &Process{box: b, spec: spec, gone: make(chan struct{}), dead: make(chan struct{}), ran: make(chan struct{}), done: make(chan struct{}), listeners: map[string]net.Listener{}}
}

func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// hear reads one note and its descriptors.
func (p *Process) hear() (note, []int, error) {
	b, oob := make([]byte, noteSize+1), make([]byte, unix.CmsgSpace(4*(maxListen+4)))
	n, oobn, _, _, err := p.ctl.ReadMsgUnix(b, oob)
	if err != nil || n == 0 {
		return note{}, nil, errOr(err, io.EOF)
	}
	got := rights(oob[:oobn])
	m, err := decodeNote(b[:n])
	if err != nil {
		closeFDs(got)
		return note{}, nil, err
	}
	return m, got, nil
}

// ready waits until the command stands before its exec, or takes everything back.
func (p *Process) ready(ctx context.Context) error {
	_ = p.ctl.SetReadDeadline(time.Now().Add(startTimeout))
	stop := context.AfterFunc(ctx, func() { _ = p.ctl.SetReadDeadline(time.Unix(1, 0)) })
	err := p.becomeReady()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		_ = p.ctl.SetReadDeadline(time.Time{})
		return nil
	}
	if ctx.Err() != nil {
		err = fault.New(fault.Canceled, "the run was canceled before its command started", "").Because(ctx.Err())
	}
	p.giveUp(killWithin)
	p.shim.gone()
	p.release()
	return err
}

// becomeReady waits for the notes of both processes, in whatever order they come.
func (p *Process) becomeReady() error {
	for born, ready := false, false; !born || !ready; {
		m, fds, err := p.hear()
		if err != nil {
			return fault.New(fault.IsolationMissing, "the confined process died before its command started", "zavhoz doctor tells what holds here").Because(err)
		}
		switch m.kind {
		case noteBorn:
			born, err = true, p.born(fds)
		case noteReady:
			ready, err = true, p.virtual(fds)
		case noteFailed:
			closeFDs(fds)
			err = p.failure(m)
		default:
			closeFDs(fds)
			err = fault.New(fault.IsolationMissing, "the confined process was ended before its command started", "zavhoz doctor tells what holds here")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// born takes the command's pidfd, the listeners and the terminal.
func (p *Process) born(fds []int) error {
	want := 1
	if p.box.Named() {
		want += len(p.spec.Listen)
		if p.spec.Terminal != nil {
			want++
		}
	}
	if len(fds) != want {
		closeFDs(fds)
		return internal("take over the descriptors", errWire)
	}
	p.command = pollable(fds[0], "pidfd")
	fds = fds[1:]
	if p.box.Named() && p.spec.Terminal != nil {
		p.tty = pollable(fds[len(fds)-1], "terminal")
		fds = fds[:len(fds)-1]
	}
	var failed error
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "listener")
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			failed = internal("take over a listener", err)
			continue
		}
		p.listeners[p.spec.Listen[i].Name] = l
	}
	return failed
}

// failure makes an error of a step that failed.
func (p *Process) failure(m note) error {
	what, errno := "an unknown step", unix.Errno(m.b)
	if int(m.a) < len(p.what) {
		what = p.what[m.a]
	}
	dir, isDir := strings.CutPrefix(what, whatWorkdir)
	switch {
	case what == whatLookup:
		return p.missing(errno)
	case what == whatDir:
		return fault.New(fault.InvalidArgument, "the directory to start in is not there, as the command would see it", "name a working directory, or a folder in one").Because(errno)
	case isDir && errno == unix.ESTALE:
		return refused(dir, "was replaced by another while the run was prepared").Because(errno)
	case isDir:
		return refused(dir, "cannot be shown to a confined command").Because(errno)
	case strings.HasPrefix(what, "listen at "):
		return fault.Newf(fault.InvalidArgument, "the box cannot %s: %s", what, errno).Because(errno)
	}
	return unavailable(quoted(what) + ": " + errno.Error()).Because(errno)
}

func unavailable(why string) *fault.Error {
	return fault.New(fault.IsolationMissing, "this machine did not confine the command: "+why, "zavhoz doctor tells what is missing and how to get it")
}

func (p *Process) missing(errno unix.Errno) error {
	return missingCommand(p.spec.Argv[0]).Because(errno)
}

// refusal makes a launcher's error one that may be shown.
func (p *Process) refusal(err error) error {
	if f := fault.Of(err); f.Code != fault.Internal || err == error(f) {
		return err
	}
	if e, ok := err.(*forkError); ok {
		return unavailable("clone: " + e.errno.Error()).Because(err)
	}
	return internal("fork the command", err)
}

// release closes all that a process holds here.
func (p *Process) release() {
	p.leave()
	if p.streams != nil {
		p.streams.Started()
		p.streams.Abandon()
	}
	for _, f := range []*os.File{p.shim.pidfd, p.command, p.execs, p.tty} {
		if f != nil {
			_ = f.Close()
		}
	}
	if p.broker != nil { // its listeners end with it; where it had ended by itself, what waits can still be accepted
		_ = p.broker.Close()
	} else {
		for _, l := range p.listeners {
			_ = l.Close()
		}
	}
	if p.ctl != nil {
		_ = p.ctl.Close()
	}
}

// Listener gives the listener of that name, nil if the Spec had none. It ends with the process.
func (p *Process) Listener(name string) net.Listener {
	if l, ok := p.listeners[name]; ok {
		return l
	}
	return nil
}

// Terminal gives the master side, and what sets its size; nil where the Spec asked for none.
func (p *Process) Terminal() (*os.File, func(rows, cols int)) {
	if p.tty == nil {
		return nil, nil
	}
	return p.tty, func(rows, cols int) { resize(p.tty, rows, cols) }
}

// virtual has a broker answer for the network that basic does not have: connections to Listen's addresses come to us, and no others go anywhere.
func (p *Process) virtual(fds []int) error {
	if p.box.Named() && len(fds) == 0 {
		return nil
	}
	if p.box.Named() || len(fds) != 1 {
		closeFDs(fds)
		return internal("take over the descriptors", errWire)
	}
	routes := map[netip.AddrPort]string{}
	for _, l := range p.spec.Listen {
		at, err := loopbackOf(l)
		if err != nil {
			closeFDs(fds)
			return err
		}
		routes[at] = l.Name
	}
	broker, err := connect.New(os.NewFile(uintptr(fds[0]), "filter"), connect.Options{Route: func(a netip.AddrPort) string { return routes[a] }})
	if err != nil {
		return unavailable("nothing answers for the network").Because(err)
	}
	p.broker = broker
	for _, l := range p.spec.Listen {
		p.listeners[l.Name] = broker.Listener(l.Name)
	}
	return nil
}
