package sandbox

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launchers keeps the one launcher process of a Sandbox: started with the first child, started anew if it died.
type launchers struct {
	mu     sync.Mutex // one request at a time
	conn   *net.UnixConn
	proc   *os.Process
	ended  chan struct{} // of proc
	closed bool
}

// launchTimeout bounds one answer of the launcher, which takes about a millisecond: a stopped launcher must not stop the daemon.
const launchTimeout = 10 * time.Second

// ownProgram is this program, also where its file was replaced meanwhile.
var ownProgram = "/proc/self/exe"

// child is a process that was forked for us.
type child struct {
	pid   int
	pidfd *os.File // readable once it, and with a pid namespace all in it, has ended
}

// launch has a child forked that performs the recipe. The recipe's slots are its descriptors.
func (l *launchers) launch(q request, slots []*os.File) (child, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return child{}, ErrClosed
	}
	c, err := l.ask(q, slots)
	if err != nil && l.conn == nil { // it died meanwhile: once more, with a new one
		c, err = l.ask(q, slots)
	}
	return c, err
}

func (l *launchers) ask(q request, slots []*os.File) (child, error) {
	if l.conn == nil {
		if err := l.start(); err != nil {
			return child{}, fmt.Errorf("sandbox: launcher: %w", err)
		}
	}
	fds := make([]int, len(slots))
	for i, f := range slots {
		fds[i] = int(f.Fd())
	}
	_ = l.conn.SetDeadline(time.Now().Add(launchTimeout))
	_, _, err := l.conn.WriteMsgUnix(q.encode(), unix.UnixRights(fds...), nil)
	runtime.KeepAlive(slots)
	if err != nil {
		l.drop()
		return child{}, fmt.Errorf("sandbox: launcher: %w", err)
	}
	p, oob := make([]byte, replySize+1), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := l.conn.ReadMsgUnix(p, oob)
	if err != nil || n == 0 {
		l.drop()
		return child{}, fmt.Errorf("sandbox: launcher: it is gone: %w", errOr(err, unix.ECHILD))
	}
	got := rights(oob[:oobn])
	a, err := decodeReply(p[:n])
	if err == nil && a.errno == 0 && len(got) == 1 {
		return newChild(int(a.pid), got[0])
	}
	for _, fd := range got {
		_ = unix.Close(fd)
	}
	if err == nil && a.errno == 0 {
		err = errWire
	}
	return child{}, errOr(err, &forkError{unix.Errno(a.errno)})
}

// forkError is the launcher's refusal.
type forkError struct{ errno unix.Errno }

func (e *forkError) Error() string { return "sandbox: clone: " + e.errno.Error() }
func (e *forkError) Unwrap() error { return e.errno }

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// start executes this program anew as the launcher. The goroutine that starts it keeps its thread and waits, so that the launcher dies with the
// daemon (Pdeathsig) and leaves no zombie.
func (l *launchers) start() error {
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	defer ours.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	started, ended := make(chan error, 1), make(chan struct{})
	var proc *os.Process
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		attr := &os.ProcAttr{Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, theirs}, Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}}
		var err error
		proc, err = os.StartProcess(ownProgram, []string{launcherName}, attr)
		started <- err
		if err == nil {
			_, _ = proc.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-ended
		return err
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = proc.Kill()
		<-ended
		return err
	}
	l.conn, l.proc, l.ended = conn.(*net.UnixConn), proc, ended
	return nil
}

// drop forgets a launcher that does not answer. Its children die with it.
func (l *launchers) drop() {
	if l.conn == nil {
		return
	}
	_ = l.conn.Close()
	_ = l.proc.Kill()
	<-l.ended
	l.conn = nil
}

func (l *launchers) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.drop()
}

// pollable makes a descriptor that the runtime can wait for.
func pollable(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), name)
}

// newChild takes a pidfd over. A child whose end could not be waited for is none.
func newChild(pid, pidfd int) (child, error) {
	c := child{pid, pollable(pidfd, "pidfd")}
	if err := c.pidfd.SetReadDeadline(time.Time{}); err != nil {
		_, _ = c.signal(unix.SIGKILL, 0), c.pidfd.Close()
		return child{}, err
	}
	return c, nil
}

// gone blocks until the child has ended, or the pidfd's deadline has passed: then it has not.
func (c child) gone() (ended bool) {
	raw, err := c.pidfd.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err != unix.EINTR && n != 0
	})
	return err == nil
}

func (c child) signal(s unix.Signal, flags int) error {
	raw, err := c.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), s, nil, flags) }); err != nil {
		return err
	}
	return sent
}
