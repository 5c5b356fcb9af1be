package seccomp

import "golang.org/x/net/bpf"

// code is a part of a program that returns on every path.
type code []bpf.Instruction

// What a filter returns. The errors are Linux's numbers, which do not depend on the system that writes the program.
const (
	retKill   = 0x80000000 // the whole process, by SIGSYS
	retErrno  = 0x00050000
	retNotify = 0x7fc00000
	retAllow  = 0x7fff0000

	retPerm         = retErrno | 1  // EPERM
	retAccess       = retErrno | 13 // EACCES
	retBusy         = retErrno | 16 // EBUSY
	retNosys        = retErrno | 38 // ENOSYS
	retNoProtoOpt   = retErrno | 92 // ENOPROTOOPT
	retProtoUnknown = retErrno | 93 // EPROTONOSUPPORT
	retTypeUnknown  = retErrno | 94 // ESOCKTNOSUPPORT
	retNotSupported = retErrno | 95 // EOPNOTSUPP
	retFamily       = retErrno | 97 // EAFNOSUPPORT
)

// Constants of Linux's interface, the same on both architectures.
const (
	afUnix, afInet, afInet6, afNetlink = 1, 2, 10, 16
	sockStream, sockDgram, sockSeq     = 1, 2, 5
	sockTypeMask                       = 0xf // the rest is SOCK_CLOEXEC and SOCK_NONBLOCK; the kernel refuses other bits
	protoTCP, protoUDP                 = 6, 17
	netlinkRoute                       = 0 // getaddrinfo and ip(8) ask for addresses by it

	msgFastOpen = 0x20000000

	levelIP, levelSocket, levelTCP, levelIP6, levelNetlink = 0, 1, 6, 41, 270

	tcpRepair, tcpFastOpenConnect, tcpULP, tcpFastOpenNoCookie = 19, 30, 31, 34
	soBindToDevice, soMark, soBindToIfindex                    = 25, 36, 62

	cloneFS, cloneFiles, cloneSysvsem = 0x200, 0x400, 0x40000
	// mount, cgroup, UTS, IPC, user, process and network namespace. The time namespace's bit is part of the signal here.
	cloneNew = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000

	tiocSTI, tiocLinux, tiocCons, tiocSetD = 0x5412, 0x541c, 0x541d, 0x5423
	prSetMM                                = 35
	setID, creates                         = 0o6000, 0x40 | 0x400000 // S_ISUID and S_ISGID; O_CREAT and __O_TMPFILE
	seccompSetFilter, seccompNewListener   = 1, 1 << 3
)

// code gives the instructions of a verdict.
func (v verdict) code(o Options) code {
	switch v {
	case allow:
		return code{give(retAllow)}
	case perm:
		return code{give(retPerm)}
	case bySocket:
		return socketRule(o)
	case byPair:
		return pairRule(o)
	case bySendFlags3:
		return without(2, msgFastOpen, retNotSupported)
	case bySendFlags4:
		return without(3, msgFastOpen, retNotSupported)
	case bySockopt:
		return optionRule(o)
	case byConnect:
		return code{give(pick(o.Notify, retNotify, retAllow))}
	case byListen:
		return code{give(pick(o.Notify, retAccess, retAllow))}
	case byClone:
		return without(0, cloneNew, retPerm)
	case byUnshare:
		return without(0, ^uint32(cloneFS|cloneFiles|cloneSysvsem), retPerm) // the high half must be zero, or the kernel itself refuses
	case byIoctl:
		return noneOf(1, retPerm, tiocSTI, tiocLinux, tiocCons, tiocSetD)
	case byPrctl:
		return noneOf(0, retPerm, prSetMM)
	case byPersonality:
		return oneOf(0, retPerm, 0, 0x8, 0x20000, 0x20008, 0xffffffff) // Linux, 32-bit uname, 2.6 uname, both; the last only asks
	case bySeccomp:
		return onlyWhere(0, seccompSetFilter, without(1, seccompNewListener, retBusy))
	case byPrlimit:
		return prlimitRule()
	case byMode1:
		return without(1, setID, retPerm)
	case byMode2:
		return without(2, setID, retPerm)
	case byOpen1:
		return openRule(1)
	case byOpen2:
		return openRule(2)
	}
	return code{give(retNosys)}
}

// socketRule: domain, type, protocol are ints, so the high halves are nothing to the kernel, and nothing here.
func socketRule(o Options) code {
	unix := oneOf(2, retProtoUnknown, 0, afUnix)
	if o.DenyUnix {
		unix = code{give(retFamily)}
	}
	datagram := oneOf(2, retProtoUnknown, 0, protoUDP)
	if o.DenyUDP {
		datagram = code{give(retAccess)}
	}
	inet := code{low(1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: sockTypeMask}}
	inet = append(inet, where(sockStream, oneOf(2, retProtoUnknown, 0, protoTCP))...)
	inet = append(inet, where(sockDgram, datagram)...)
	inet = append(inet, give(retTypeUnknown)) // raw, and SOCK_PACKET, which the kernel takes for a packet socket
	p := code{low(0)}
	p = append(p, where(afUnix, unix)...)
	p = append(p, where(afNetlink, oneOf(2, retProtoUnknown, netlinkRoute))...)
	p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: afInet, SkipTrue: 1})
	p = append(p, where(afInet6, inet)...)
	return append(p, give(retFamily))
}

// pairRule: a stream or packet pair is connected for good; a datagram pair (a raw one is the same) can be connected again, to a pathname.
func pairRule(o Options) code {
	kind := code{give(retAllow)}
	if o.DenyUnix {
		kind = code{low(1), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: sockTypeMask}}
		kind = append(kind, where(sockStream, code{give(retAllow)})...)
		kind = append(kind, where(sockSeq, code{give(retAllow)})...)
		kind = append(kind, give(retTypeUnknown))
	}
	p := code{low(2), bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2}}
	p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: afUnix, SkipTrue: 1}, give(retProtoUnknown), low(0))
	return append(append(p, where(afUnix, kind)...), give(retFamily))
}

// The options of IP and IPv6 that stay without a network namespace: type of service, hops, path MTU, errors and what comes with a packet, and the
// late choice of a port; of IPv6 also IPV6_V6ONLY and the preference among addresses.
var (
	optionsIP  = []uint32{1, 2, 8, 10, 11, 12, 13, 24}
	optionsIP6 = []uint32{16, 23, 24, 25, 26, 49, 66, 67, 72}
)

// optionRule: without a network namespace an option must not send packets another way than the address says. A source route (IP_OPTIONS,
// IPV6_RTHDR) or a device would carry what is written to a connection with the broker to anybody.
func optionRule(o Options) code {
	tcp := noneOf(2, retNoProtoOpt, tcpRepair, tcpFastOpenConnect, tcpULP, tcpFastOpenNoCookie)
	if !o.DenyUDP {
		return onlyWhere(1, levelTCP, tcp)
	}
	p := append(code{low(1)}, where(levelTCP, tcp)...)
	p = append(p, where(levelSocket, noneOf(2, retNoProtoOpt, soBindToDevice, soMark, soBindToIfindex))...)
	p = append(p, where(levelIP, oneOf(2, retNoProtoOpt, optionsIP...))...)
	p = append(p, where(levelIP6, oneOf(2, retNoProtoOpt, optionsIP6...))...)
	p = append(p, where(levelNetlink, code{give(retAllow)})...)
	return append(p, give(retNoProtoOpt))
}

// openRule: without these flags the kernel does not read the mode, and a caller leaves whatever was in the register.
func openRule(flags uint32) code {
	return append(code{low(flags), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: creates, SkipTrue: 1}, give(retAllow)}, without(flags+1, setID, retPerm)...)
}

// prlimitRule: process 0 is oneself; of others the limits may be read, not set. The pointer counts with both halves.
func prlimitRule() code {
	p := append(code{low(0)}, where(0, code{give(retAllow)})...)
	for _, half := range []bpf.Instruction{low(2), high(2)} {
		p = append(p, half, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1}, give(retPerm))
	}
	return append(p, give(retAllow))
}

func give(ret uint32) bpf.Instruction { return bpf.RetConstant{Val: ret} }

func pick(yes bool, a, b uint32) uint32 {
	if yes {
		return a
	}
	return b
}

// low loads the half of an argument that an int or unsigned int is.
func low(arg uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offArgs + 8*arg, Size: 4} }

func high(arg uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offArgs + 8*arg + 4, Size: 4} }

// where runs then if the accumulator is val, else goes on behind it.
func where(val uint32, then code) code {
	return append(code{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: val, SkipTrue: uint8(len(then))}}, then...)
}

// onlyWhere judges a call by then if the argument is val, and allows it else.
func onlyWhere(arg, val uint32, then code) code {
	return append(append(code{low(arg)}, where(val, then)...), give(retAllow))
}

// without refuses a call with any of the bits.
func without(arg, bits, refusal uint32) code {
	return code{low(arg), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: bits, SkipFalse: 1}, give(refusal), give(retAllow)}
}

// oneOf refuses all but the listed values.
func oneOf(arg, refusal uint32, vals ...uint32) code { return list(arg, retAllow, refusal, vals) }

// noneOf refuses the listed values.
func noneOf(arg, refusal uint32, vals ...uint32) code { return list(arg, refusal, retAllow, vals) }

func list(arg, listed, other uint32, vals []uint32) code {
	p := code{low(arg)}
	for _, v := range vals {
		p = append(p, where(v, code{give(listed)})...)
	}
	return append(p, give(other))
}
