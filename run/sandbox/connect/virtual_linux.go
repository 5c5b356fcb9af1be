package connect

import (
	"net"
	"sync"
)

// queueLength is how many connections wait for Accept; more are closed.
const queueLength = 128

// virtual is a listener whose connections come through a gate.
type virtual struct {
	name string

	mu     sync.Mutex
	closed bool
	queue  chan net.Conn
}

var _ net.Listener = (*virtual)(nil)

func newVirtual(name string) *virtual {
	return &virtual{name: name, queue: make(chan net.Conn, queueLength)}
}

// Accept gives the next connection of the command, a *net.TCPConn.
func (v *virtual) Accept() (net.Conn, error) {
	c, ok := <-v.queue
	if !ok {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: v.Addr(), Err: net.ErrClosed}
	}
	return c, nil
}

func (v *virtual) open() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.closed
}

func (v *virtual) deliver(c net.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed {
		select {
		case v.queue <- c:
			return
		default:
		}
	}
	_ = c.Close()
}

// end takes no more connections. What waits can still be accepted: the command's last words.
func (v *virtual) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed {
		v.closed = true
		close(v.queue)
	}
}

// Close takes no more connections, and closes those that wait.
func (v *virtual) Close() error {
	v.end()
	for c := range v.queue {
		_ = c.Close()
	}
	return nil
}

// Addr names the listener; it is no address that one can dial.
func (v *virtual) Addr() net.Addr { return name(v.name) }

type name string

func (name) Network() string  { return "tcp" }
func (n name) String() string { return string(n) }
