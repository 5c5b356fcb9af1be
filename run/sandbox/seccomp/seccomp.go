// Package seccomp writes the system call filter of a run. Who installs it is a process without a Go runtime (package sandbox).
//
// Promise: a command sees a small kernel. Each system call of the tables has a verdict with its reason; a number that they do not hold does not
// exist (ENOSYS), so a newer kernel opens no door by itself. Arguments are judged by the bits that the kernel reads, no more and no fewer: a high
// half that it ignores changes nothing. A foreign architecture ends the process, as its numbers mean something else.
//
// Attacks stopped (threat-model.md): other addresses, where a supervisor answers connect (8); MPTCP and whatever else makes no plain TCP
// connection (10), TCP Fast Open (11), each socket family, type and protocol outside a short list (9, 12), io_uring (13), int 0x80 and x32 (14),
// pathname sockets where DenyUnix is set (16), ptrace and its like (17, 18, 19), keys pushed into a terminal (27), limits set on the broker (28),
// key rings (29), nested namespaces (31), set-user-id files made for others to find (32).
//
// Not stopped here: what needs a path or another process's number to judge, as a filter sees numbers only (Landlock and namespaces do that);
// priorities and processor masks of other processes of the same user, which need a process namespace; a kernel exploit (52).
package seccomp

import (
	"errors"

	"golang.org/x/net/bpf"
)

// Options choose what the level asks for beyond the common filter.
type Options struct {
	DenyUDP  bool // no datagram sockets of the Internet families: where there is no network namespace
	DenyUnix bool // no unix sockets but connected pairs: where the host's pathname sockets can be reached
	Notify   bool // connect(2) waits for a supervisor's answer, and nothing listens. Needs DenyUDP: a datagram needs no connect
}

// The sentinels of this package.
var (
	ErrArch    = errors.New("seccomp: there is no table for this architecture")
	ErrOptions = errors.New("seccomp: Notify without DenyUDP leaves a way around the supervisor")
)

// arch is what a program must know of a machine. Both are little-endian: the low half of an argument comes first.
type arch struct {
	audit  uint32 // AUDIT_ARCH_*, as the kernel reports it
	number func(call) int16
	bit    uint32 // numbers from here on are another architecture's under the same audit value; 0: there is none
}

// x32 marks the calls of the x32 ABI, whose numbers and structures differ (attack 14).
const x32 = 0x40000000

var arches = map[string]arch{
	"amd64": {0xc000003e, func(c call) int16 { return c.amd64 }, x32},
	"arm64": {0xc00000b7, func(c call) int16 { return c.arm64 }, 0},
}

// The layout of struct seccomp_data.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// Program writes the filter for an architecture by Go's name, "amd64" or "arm64".
func Program(archName string, o Options) ([]bpf.RawInstruction, error) {
	a, ok := arches[archName]
	if !ok {
		return nil, ErrArch
	}
	if o.Notify && !o.DenyUDP {
		return nil, ErrOptions
	}
	p := code{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: a.audit, SkipTrue: 1},
		give(retKill),
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	}
	if a.bit != 0 {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: a.bit, SkipFalse: 1}, give(retKill))
	}
	return bpf.Assemble(append(p, search(a.spans(), o)...))
}

// span is a run of numbers with one verdict, up to the next span's first.
type span struct {
	first uint32
	do    verdict
}

// spans lists the verdicts of all numbers from 0 to the largest possible.
func (a arch) spans() []span {
	var of [maxNumber + 2]verdict // zero: nosys. One more than there are, so that the last span is what nobody knows
	for _, groups := range tables {
		for _, g := range groups {
			for _, c := range g.calls {
				if n := a.number(c); n >= 0 {
					of[n] = g.do
				}
			}
		}
	}
	list := make([]span, 0, len(of)/2)
	for n, do := range of {
		if len(list) == 0 || list[len(list)-1].do != do {
			list = append(list, span{uint32(n), do})
		}
	}
	return list
}

// search is a binary tree over the spans, with the number in the accumulator: a hot call costs some eight jumps, and where its verdict needs no
// argument the kernel works it out once and keeps it.
func search(spans []span, o Options) code {
	if len(spans) == 1 {
		return spans[0].do.code(o)
	}
	mid := len(spans) / 2
	low, high := search(spans[:mid], o), search(spans[mid:], o)
	p := make(code, 0, 2+len(low)+len(high))
	if len(low) <= 255 {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].first, SkipTrue: uint8(len(low))})
	} else { // too far for a conditional jump
		p = append(p, bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].first, SkipFalse: 1}, bpf.Jump{Skip: uint32(len(low))})
	}
	return append(append(p, low...), high...)
}
