// Package seccomp writes the system call filter of a run and installs it.
//
// Promise: a command sees a small kernel. Every system call that this package's tables name has a verdict with its reason; a number that they do
// not name does not exist (ENOSYS), so that a newer kernel opens no door by itself. A foreign architecture ends the process: its numbers mean
// something else.
//
// Attacks stopped (threat-model.md): MPTCP (10), TCP Fast Open (11), every socket family and protocol outside a short list (12), io_uring (13),
// int 0x80 and x32 (14), pathname sockets where DenyUnix is set (16), ptrace and its like (18), pushing keys into a terminal (27), keyrings (29),
// nested namespaces (31).
package seccomp

import (
	"errors"

	"golang.org/x/net/bpf"
)

// Options choose what the level asks for beyond the common filter.
type Options struct {
	DenyUDP  bool // no datagram sockets of the Internet families: where there is no network namespace
	DenyUnix bool // no unix sockets but connected pairs: where the host's pathname sockets can be reached
	Notify   bool // connect(2) is answered by a supervisor; no listening sockets. Needs DenyUDP: a datagram needs no connect
}

// The sentinels of this package.
var (
	ErrArch        = errors.New("seccomp: no table for this architecture")
	ErrUnsupported = errors.New("seccomp: only Linux has it")
	ErrOptions     = errors.New("seccomp: Notify without DenyUDP would leave a way around the supervisor")
)

// Program writes the filter for an architecture by Go's name, "amd64" or "arm64".
func Program(arch string, o Options) ([]bpf.RawInstruction, error) {
	return nil, ErrArch
}
