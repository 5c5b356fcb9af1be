package connect

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// connect connects the command's socket to one of our gates, and takes over the descriptor. The error is the kernel's answer, as the command would
// have had it; fresh tells that a connection was begun.
func (b *Broker) connect(s *socket, t target, to *virtual) (errno unix.Errno, fresh bool) {
	if t.family != s.family {
		s.close()
		return unix.EAFNOSUPPORT, false
	}
	g, addr := b.gateFor(s, t)
	if s.state() != unix.BPF_TCP_CLOSE { // under way, through or listening
		defer s.close()
		if errno, lost := b.heard(s.cookie); lost {
			return errno, true
		}
		return b.dial(s, addr), false // the kernel says what that means
	}
	if !g.begin() {
		s.close()
		return unix.EAGAIN, false
	}
	errno = b.dial(s, addr)
	if errno != 0 && errno != unix.EINPROGRESS {
		g.end(nil)
		s.close()
		return errno, false
	}
	g.end(&guest{s, to})
	return errno, true
}

// gateFor is the gate for a socket, and its address in the form that the socket takes.
func (b *Broker) gateFor(s *socket, t target) (*gate, unix.Sockaddr) {
	four := b.v4.addr
	if s.family == unix.AF_INET {
		return b.v4, &unix.SockaddrInet4{Addr: four.Addr().As4(), Port: int(four.Port())}
	}
	if b.v6 == nil || t.addr.Addr().Is4In6() {
		mapped := netip.AddrFrom16(four.Addr().As16())
		return b.v4, &unix.SockaddrInet6{Addr: mapped.As16(), Port: int(four.Port())}
	}
	return b.v6, &unix.SockaddrInet6{Addr: b.v6.addr.Addr().As16(), Port: int(b.v6.addr.Port())}
}

// dial calls connect(2). The socket is given a limit, for the call's time only: what it does with our packets is the command's choice. So is whether it blocks, at
// any moment, and so is the limit: Close ends what waits all the same.
func (b *Broker) dial(s *socket, addr unix.Sockaddr) unix.Errno {
	blocking := s.blocking()
	old, err := unix.GetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO)
	if err != nil || unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: patienceSec}) != nil {
		return unix.EACCES
	}
	defer func() { _ = unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, old) }()
	b.mu.Lock()
	b.dials[s] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.dials, s)
	}()
	for {
		err := unix.Connect(s.fd, addr)
		var errno unix.Errno
		switch {
		case err == nil:
			return 0
		case !errors.As(err, &errno):
			return unix.EACCES
		case errno == unix.EINTR: // our own runtime's signals
			continue
		case errno == unix.EINPROGRESS && blocking:
			return unix.ETIMEDOUT
		}
		return errno
	}
}

// cut ends every connect that is under way.
func (b *Broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.dials {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
	}
}
