package connect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// target is what a command asked to connect to.
type target struct {
	addr   netip.AddrPort // as the command wrote it
	family int            // AF_INET or AF_INET6
}

// maxAddress is the most that the kernel takes for a socket address.
const maxAddress = 128

// readTarget copies the address out of the command's memory. What it gives is not to be trusted before the question was found valid again: the pid
// may have gone to somebody else.
func readTarget(n notification) (target, unix.Errno) {
	if n.bytes < 2 || n.bytes > maxAddress {
		return target{}, unix.EINVAL
	}
	b := make([]byte, n.bytes)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	got, err := unix.ProcessVMReadv(n.pid, local, []unix.RemoteIovec{{Base: uintptr(n.addr), Len: len(b)}}, 0)
	switch {
	case errors.Is(err, unix.EPERM): // not ours to trace
		return target{}, unix.EACCES
	case err != nil || got != len(b):
		return target{}, unix.EFAULT
	}
	return parse(b)
}

// parse reads a struct sockaddr.
func parse(b []byte) (target, unix.Errno) {
	const family, lenIP, lenIP6 = 2, 16, 24 // the last without the scope, as RFC 2133 had it and the kernel takes it
	port := func() uint16 { return binary.BigEndian.Uint16(b[family:]) }
	switch f := int(binary.NativeEndian.Uint16(b)); {
	case f == unix.AF_INET && len(b) >= lenIP:
		return target{netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port()), f}, 0
	case f == unix.AF_INET6 && len(b) >= lenIP6:
		return target{netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port()), f}, 0
	case f == unix.AF_INET, f == unix.AF_INET6:
		return target{}, unix.EINVAL
	case f == unix.AF_UNIX:
		return target{}, unix.EACCES
	}
	return target{}, unix.EAFNOSUPPORT // also AF_UNSPEC, which would undo a connection
}

// takeSocket gives this process a descriptor of the command's socket, the same open file.
func (b *Broker) takeSocket(n notification) (*socket, unix.Errno) {
	pidfd, err := openThread(n.pid)
	if err != nil {
		return nil, unix.EACCES
	}
	defer unix.Close(pidfd)
	if !b.ask.valid(n.id) { // from here on the descriptor cannot be another process's
		return nil, unix.EINTR
	}
	fd, err := unix.PidfdGetfd(pidfd, n.sock, 0)
	switch {
	case errors.Is(err, unix.EBADF):
		return nil, unix.EBADF
	case err != nil:
		return nil, unix.EACCES
	}
	if !b.ask.valid(n.id) { // a signal ended the call before, and the number may be the thread's next socket by now
		_ = unix.Close(fd)
		return nil, unix.EINTR
	}
	s, errno := newSocket(fd)
	if errno != 0 {
		_ = unix.Close(fd)
	}
	return s, errno
}

// openThread holds a thread; before Linux 6.9 its process, whose descriptors it shares unless it took some trouble not to.
func openThread(tid int) (int, error) {
	fd, err := unix.PidfdOpen(tid, unix.PIDFD_THREAD)
	if !errors.Is(err, unix.EINVAL) {
		return fd, err
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return -1, err
	}
	_, rest, _ := bytes.Cut(status, []byte("\nTgid:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	if err != nil {
		return -1, err
	}
	return unix.PidfdOpen(pid, 0)
}

// socket is a TCP socket of the command, held by us too.
type socket struct {
	fd     int
	family int
	cookie uint64 // the kernel's own number of it, never used again
}

// newSocket checks that it is a socket that may be connected: the filter lets no other be made, but one may be inherited.
func newSocket(fd int) (*socket, unix.Errno) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return nil, unix.ENOTSOCK
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, unix.ENOTSOCK
	}
	proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || family != unix.AF_INET && family != unix.AF_INET6 || kind != unix.SOCK_STREAM || proto != unix.IPPROTO_TCP {
		return nil, unix.EAFNOSUPPORT
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return nil, unix.EACCES
	}
	return &socket{fd, family, cookie}, 0
}

func (s *socket) close() { _ = unix.Close(s.fd) }

func (s *socket) blocking() bool {
	flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK == 0
}

// state is the TCP state, by the kernel's numbers.
func (s *socket) state() uint8 { return stateOf(s.fd) }

func stateOf(fd int) uint8 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return unix.BPF_TCP_CLOSE
	}
	return info.State
}

// local is the socket's own address, an IPv4 one in its own form.
func (s *socket) local() (netip.AddrPort, bool) {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}, false
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), true
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)), true
	}
	return netip.AddrPort{}, false
}
