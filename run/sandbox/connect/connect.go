// Package connect answers connect(2) for a command that has no network namespace (level basic): the kernel asks by a seccomp notification, and the
// command's thread waits for the answer.
//
// Promise: a TCP connection of the command ends at a virtual listener of this process, or nowhere. The address is copied out of the command's
// memory and decides only by that copy, which its other threads cannot change any more. Then this process itself connects the command's own socket, to
// a listener of its own: the kernel never acts on the command's memory, and the socket keeps its options, its place in an epoll set and its
// blocking or not, so that a client sees nothing unusual but its peer's address. A connection that another local process makes to that listener
// is closed: only the peer of a socket that this broker connected, and still holds, gets through.
//
// Attacks stopped (threat-model.md): a connection to anybody else's address, of any port and address family (8); an address changed between check and
// use; another process on the machine that uses the run's way out.
//
// Limits: needs Linux 5.9. To read the command's memory and to hold its socket the broker needs the right to trace it: the same user or
// CAP_SYS_PTRACE, and under Yama's level 1 to be its ancestor (make the run's first process a subreaper, so that orphans stay descendants); levels 2
// and 3 leave it to CAP_SYS_PTRACE or to nobody. A process that made itself not dumpable is refused. Wherever the right is missing connect fails with
// EACCES: nothing is let through unseen. That packets take the way that the address says is the filter's part (seccomp: source routes, devices).
package connect

import (
	"errors"
	"net/netip"
)

// Options say where connections go.
type Options struct {
	// Route names the virtual listener for an address that the command connects to (an IPv4 one never in its IPv6 form); "" refuses. Many
	// goroutines call it at once.
	Route func(netip.AddrPort) string
}

// The sentinels of this package.
var (
	ErrUnsupported = errors.New("connect: only Linux has seccomp notifications")
	errNoRoute     = errors.New("connect: Options without Route")
	errNoListener  = errors.New("connect: this descriptor is no seccomp listener")
	errSizes       = errors.New("connect: the kernel's notification is smaller than Linux 5.0's")
)
