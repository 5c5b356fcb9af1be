package connect

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxWaiting = 1024                 // connections that were begun and not accepted, a gate
	maxEarly   = 64                   // accepted connections whose connect has not returned
	busyPause  = 5 * time.Millisecond // when this process has no descriptor left, or waits for the last guests
)

// gate is a listener on loopback whose only guests are sockets that this broker connected. Anybody on the machine can knock.
//
// A guest is known by its address: no two live TCP sockets of a machine share both ends, and the broker holds the guest's socket until it is
// through. A connection that is dead when it is compared is nobody's: its address may have been another's before.
type gate struct {
	listener *net.TCPListener
	addr     netip.AddrPort
	done     chan struct{} // closed when accept has ended

	mu         sync.Mutex
	connecting int                             // connects that have not returned
	guests     map[netip.AddrPort]*guest       // connected, to be accepted
	early      map[netip.AddrPort]*net.TCPConn // accepted, while connects had not returned
}

// guest is a socket on its way in.
type guest struct {
	sock *socket
	to   *virtual
}

// over tells that the guest will not come: its connection failed, or this side has closed it.
func (who *guest) over() bool {
	state := who.sock.state()
	return state == unix.BPF_TCP_CLOSE || state == unix.BPF_TCP_CLOSE_WAIT
}

// newGate listens on an address of this machine's loopback.
func newGate(addr string) (*gate, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		return nil, err
	}
	g := gateOn(l.(*net.TCPListener))
	go g.accept()
	return g, nil
}

// gateOn is a gate whose accept is to be started.
func gateOn(l *net.TCPListener) *gate {
	return &gate{listener: l, addr: l.Addr().(*net.TCPAddr).AddrPort(), done: make(chan struct{}),
		guests: map[netip.AddrPort]*guest{}, early: map[netip.AddrPort]*net.TCPConn{}}
}

func (g *gate) accept() {
	defer close(g.done)
	for {
		c, err := g.listener.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(busyPause)
			continue
		}
		g.knock(c, c.RemoteAddr().(*net.TCPAddr).AddrPort())
	}
}

// knock lets a guest in, keeps who may be one, and closes anybody else.
func (g *gate) knock(c *net.TCPConn, from netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if who, ok := g.guests[from]; ok {
		if alive(c) {
			g.admit(from, who, c)
			return
		}
		_ = c.Close()
		if who.over() { // it was the guest's own, already broken
			g.forget(from, who)
		}
		return
	}
	if old := g.early[from]; old != nil && !alive(old) {
		_ = old.Close()
		delete(g.early, from)
	}
	if g.connecting > 0 && len(g.early) < maxEarly && g.early[from] == nil {
		g.early[from] = c
		return
	}
	_ = c.Close()
}

// begin announces a connect. It refuses when too many wait.
func (g *gate) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.guests) >= maxWaiting/2 {
		for from, who := range g.guests {
			if who.over() {
				g.forget(from, who)
			}
		}
	}
	if len(g.guests)+g.connecting >= maxWaiting {
		return false
	}
	g.connecting++
	return true
}

// end takes the guest of a connect that succeeded or goes on, nil for one that failed.
func (g *gate) end(who *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.connecting--
	if who != nil {
		g.expect(who)
	}
	if g.connecting == 0 {
		for from, c := range g.early {
			_ = c.Close()
			delete(g.early, from)
		}
	}
}

func (g *gate) expect(who *guest) {
	from, ok := who.sock.local()
	if !ok || !from.Addr().IsLoopback() { // bound to another interface: its packets had a choice of ways
		who.sock.close()
		return
	}
	if old, ok := g.guests[from]; ok { // its address went on to another: it is over
		g.forget(from, old)
	}
	g.guests[from] = who
	if c, ok := g.early[from]; ok {
		delete(g.early, from)
		if alive(c) {
			g.admit(from, who, c)
			return
		}
		_ = c.Close()
	}
}

func (g *gate) admit(from netip.AddrPort, who *guest, c *net.TCPConn) {
	who.to.deliver(c)
	g.forget(from, who)
}

func (g *gate) forget(from netip.AddrPort, who *guest) {
	delete(g.guests, from)
	who.sock.close()
}

// settle waits for the guests whose connect has returned, that a command's last words are heard though it has ended, until giveUp holds.
func (g *gate) settle(giveUp func() bool) {
	for !giveUp() && g.awaited() {
		time.Sleep(busyPause)
	}
}

// awaited tells whether a guest may still come.
func (g *gate) awaited() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range g.guests {
		if !who.over() {
			return true
		}
	}
	return false
}

// close ends the gate once no connect is under way, and gives up its guests.
func (g *gate) close() {
	_ = g.listener.Close()
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	for from, who := range g.guests {
		g.forget(from, who)
	}
	for from, c := range g.early {
		_ = c.Close()
		delete(g.early, from)
	}
}

// alive tells whether the connection's other end still has its address: established, or closed from there for writing only.
func alive(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	state := uint8(unix.BPF_TCP_CLOSE)
	if raw.Control(func(fd uintptr) { state = stateOf(int(fd)) }) != nil {
		return false
	}
	return state == unix.BPF_TCP_ESTABLISHED || state == unix.BPF_TCP_CLOSE_WAIT
}
