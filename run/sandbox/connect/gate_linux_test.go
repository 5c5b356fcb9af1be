package connect

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func testGate(t *testing.T) (*gate, *virtual) {
	t.Helper()
	g, err := newGate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	return g, newVirtual("test")
}

// ours is a socket as the command would have one; kept is the command's own descriptor of it.
func ours(t *testing.T) (s *socket, kept int) {
	t.Helper()
	kept, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(kept) })
	fd, err := unix.FcntlInt(uintptr(kept), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, errno := newSocket(fd)
	if errno != 0 {
		t.Fatal(errno)
	}
	return s, kept
}

func (g *gate) sockaddr() unix.Sockaddr {
	return &unix.SockaddrInet4{Addr: g.addr.Addr().As4(), Port: int(g.addr.Port())}
}

func (g *gate) count() (guests, early int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.guests), len(g.early)
}

// until waits for something that another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + ": never")
		}
	}
}

func closedByPeer(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("a stranger was let in")
	} else if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		t.Error("a stranger was left waiting")
	}
}

func accepted(t *testing.T, v *virtual) net.Conn {
	t.Helper()
	select {
	case c := <-v.queue:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("the guest does not come")
		return nil
	}
}

// A guest that is accepted before its connect has returned gets through; a stranger who knocks meanwhile does not, and is not kept.
func TestAGuestIsKnownByItsAddress(t *testing.T) {
	g, v := testGate(t)
	s, _ := ours(t)
	if !g.begin() {
		t.Fatal("no begin")
	}
	stranger, err := net.Dial("tcp", g.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if errno := (&Broker{dials: map[*socket]bool{}}).dial(s, g.sockaddr()); errno != 0 {
		t.Fatal(errno)
	}
	until(t, "both are early", func() bool { _, early := g.count(); return early == 2 })
	from, _ := s.local()
	g.end(&guest{s, v})
	c := accepted(t, v)
	if got := c.RemoteAddr().(*net.TCPAddr).AddrPort(); got != from {
		t.Errorf("%v came, not %v", got, from)
	}
	_ = c.Close()
	closedByPeer(t, stranger)
	if guests, early := g.count(); guests != 0 || early != 0 {
		t.Errorf("%d guests, %d early ones are left", guests, early)
	}
}

// A stranger had the guest's address, and gave it up: its dead connection is not taken for the guest's.
func TestADeadConnectionIsNobodys(t *testing.T) {
	g, v := testGate(t)
	if !g.begin() {
		t.Fatal("no begin")
	}
	// bound before it connects: no other connection shares its port
	stranger, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}).Dial("tcp", g.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Write([]byte("a request in the guest's name")); err != nil {
		t.Fatal(err)
	}
	until(t, "it is early", func() bool { _, early := g.count(); return early == 1 })
	port := stranger.LocalAddr().(*net.TCPAddr).Port
	_ = stranger.(*net.TCPConn).SetLinger(0)
	_ = stranger.Close() // with a reset: the address is free at once

	s, kept := ours(t)
	if err := unix.Bind(kept, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		t.Fatal(err)
	}
	if errno := (&Broker{dials: map[*socket]bool{}}).dial(s, g.sockaddr()); errno != 0 {
		t.Fatal(errno)
	}
	g.end(&guest{s, v})
	if _, err := unix.Write(kept, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	c := accepted(t, v)
	defer c.Close()
	b := make([]byte, 64)
	if n, _ := c.Read(b); string(b[:n]) != "mine" {
		t.Errorf("%q came", b[:n])
	}
	if guests, early := g.count(); guests != 0 || early != 0 {
		t.Errorf("%d guests, %d early ones are left", guests, early)
	}
}

// The last words of a command that has ended: a connection that nobody has accepted yet comes in before the gate ends, and nobody is waited for once that is not wanted.
func TestTheLastGuestIsWaitedFor(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp := l.(*net.TCPListener)
		g, v := gateOn(tcp), newVirtual("test")
		s, kept := ours(t)
		if !g.begin() {
			t.Fatal("no begin")
		}
		if errno := (&Broker{dials: map[*socket]bool{}}).dial(s, g.sockaddr()); errno != 0 {
			t.Fatal(errno)
		}
		g.end(&guest{s, v})
		if _, err := unix.Write(kept, []byte("bye")); err != nil {
			t.Fatal(err)
		}
		_ = unix.Shutdown(kept, unix.SHUT_WR)
		go func() {
			if wanted {
				time.Sleep(4 * busyPause) // a machine with other work
			}
			g.accept()
		}()
		if wanted {
			g.settle(func() bool { return false })
		} else {
			_ = tcp.Close()
			g.settle(func() bool { return true })
		}
		g.close()
		if guests, _ := g.count(); guests != 0 {
			t.Errorf("%d are left", guests)
		}
		if !wanted {
			continue
		}
		c := accepted(t, v)
		b, err := io.ReadAll(c)
		if string(b) != "bye" {
			t.Errorf("%q came, %v", b, err)
		}
		_ = c.Close()
	}
}

// What never comes through does not stay for ever.
func TestGuestsThatGaveUpAreForgotten(t *testing.T) {
	g, v := testGate(t)
	for i := range maxWaiting / 2 {
		s, _ := ours(t)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), 1)
		g.mu.Lock()
		g.guests[from] = &guest{s, v} // never connected, so its state is closed
		g.mu.Unlock()
	}
	if !g.begin() {
		t.Error("there is no room")
	}
	if guests, _ := g.count(); guests != 0 {
		t.Errorf("%d are left", guests)
	}
	g.end(nil)
}

func TestAFullQueueClosesWhatComes(t *testing.T) {
	v := newVirtual("full")
	here, there := net.Pipe()
	defer there.Close()
	for range queueLength {
		v.deliver(here)
	}
	extra, end := net.Pipe()
	v.deliver(extra)
	if _, err := end.Read(make([]byte, 1)); err == nil {
		t.Error("the one too many is open")
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	v.deliver(here)
	if c, err := v.Accept(); err == nil {
		t.Errorf("a closed listener gave %v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{10, 0, 0, 80}, make([]byte, 24)...))
	f.Add([]byte{1, 0, '/', 0})
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || len(b) > maxAddress {
			return
		}
		got, errno := parse(b)
		if (errno == 0) != got.addr.IsValid() || errno == 0 && got.family != unix.AF_INET && got.family != unix.AF_INET6 {
			t.Errorf("%x: %+v %v", b, got, errno)
		}
		if errno == 0 && got.addr.Port() != uint16(b[2])<<8|uint16(b[3]) {
			t.Errorf("%x: port %d", b, got.addr.Port())
		}
	})
}
