package sandbox

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nest is the state of the process that forks: the launcher's server. All addresses in it are its own.
type nest struct {
	base     uintptr // imageAt, kept free
	uid, gid uint32
	parent   uint64    // the launcher
	mask     uint64    // all signals
	dfl      [4]uint64 // struct sigaction: the default
	ignore   [4]uint64 // … and to ignore
	in, out  message
	inVec    [2]uint64
	outVec   [2]uint64
	outFD    [3]uint64 // struct cmsghdr with one descriptor
	hand     message   // what the spare is given: one byte, and descriptors
	handVec  [2]uint64
	spare    [2]uint64 // the pair of sockets to the next spare, as the kernel fills it; then who waits
	who      owner     // the spare's user and group outside
	waits    int32     // the spare's process; 0: there is none
	request  request
	_        [4]byte // what is longer than a request is seen to be
	reply    reply
	inFDs    [16 + 4*maxSlots + 8]byte // struct cmsghdr with descriptors
	pidfd    int32
	drops    uint64
	gone     [512][2]uintptr // memory to give back
}

// message is struct msghdr.
type message struct {
	name, nameLen       uint64
	vec, vecs           uint64
	control, controlLen uint64
	flags               int32
	_                   int32
}

// raw is a system call that cannot fail, or whose failure changes nothing.
//
//go:norace
//go:nosplit
func raw(nr, a, b, c, d uintptr) uintptr {
	r, _, errno := syscall.RawSyscall6(nr, a, b, c, d, 0, 0)
	if errno != 0 {
		return ^uintptr(0)
	}
	return r
}

// hatch forks the server; it returns in the launcher alone.
//
//go:norace
//go:nosplit
//go:nocheckptr
func hatch(n *nest) (pid uintptr, errno syscall.Errno) {
	old := uint64(0)
	// a signal between here and there would run a handler of Go's in the child
	raw(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&n.mask)), uintptr(unsafe.Pointer(&old)), 8)
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		grow(n, serve(n))
	}
	raw(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8)
	return pid, errno
}

// serve forks a child for each request, to the daemon's end. Signals stay blocked for good, children that have ended vanish by themselves: their own
// notes tell how. It comes back in a child, with the number of its descriptors: a child begins at a shallow stack, for it must not need more.
//
//go:norace
//go:nosplit
//go:nocheckptr
func serve(n *nest) uintptr {
	mortal(n)
	for sig := uintptr(1); sig <= 64; sig++ { // 9 and 19 refuse
		raw(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&n.dfl)), 0, 8)
	}
	raw(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&n.ignore)), 0, 8)
	slim(n)
	vacate()
	raw(unix.SYS_CLOSE_RANGE, sparePidfd+1, 0xffffffff, 0, 0)
	for {
		n.in.controlLen = uint64(unsafe.Sizeof(n.inFDs))
		size, _, errno := syscall.RawSyscall6(unix.SYS_RECVMSG, launcherSocket, uintptr(unsafe.Pointer(&n.in)), unix.MSG_CMSG_CLOEXEC, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || size == 0 {
			die()
		}
		n.reply.pid, n.reply.errno, n.pidfd = 0, uint32(unix.EBADMSG), -1
		if n.request.valid(size) && n.in.flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0 && answer(n) {
			return count(n)
		}
		n.out.control, n.out.controlLen = 0, 0
		if n.pidfd >= 0 {
			n.outFD[2] = uint64(uint32(n.pidfd))
			n.out.control, n.out.controlLen = uint64(uintptr(unsafe.Pointer(&n.outFD))), 24
		}
		raw(unix.SYS_SENDMSG, launcherSocket, uintptr(unsafe.Pointer(&n.out)), unix.MSG_NOSIGNAL, 0)
		raw(unix.SYS_CLOSE_RANGE, sparePidfd+1, 0xffffffff, 0, 0)
		if n.waits == 0 {
			vacate()
		}
		if n.reply.errno == 0 && n.request.next.uid != 0 && (n.waits == 0 || n.who.uid != n.request.next.uid || n.who.gid != n.request.next.gid) && prepare(n) {
			return count(n)
		}
	}
}

// slim gives the memory of Go's back, but for the stack that this runs on: only here does it stay where it is.
//
//go:norace
//go:nosplit
//go:nocheckptr
func slim(n *nest) {
	var here byte
	gone, low := unsafe.Pointer(&n.gone), uintptr(unsafe.Pointer(&here))&^0xffff-0x10000
	high := low + 0x40000
	for i := uint64(0); i < n.drops; i++ {
		g := (*[2]uintptr)(unsafe.Add(gone, i*16))
		lo, hi := g[0], g[1]
		if end := min(hi, low); lo < end {
			raw(unix.SYS_MUNMAP, lo, end-lo, 0, 0)
		}
		if begin := max(lo, high); begin < hi {
			raw(unix.SYS_MUNMAP, begin, hi-begin, 0, 0)
		}
	}
}

// Where the server holds its spare. The two are always taken, so that what comes with a request lies above.
const (
	spareSocket = launcherSocket + 1 + iota
	sparePidfd
)

// vacate ends a spare that nobody waits for any more, if there is one.
//
//go:norace
//go:nosplit
func vacate() {
	raw(unix.SYS_DUP3, 0, spareSocket, unix.O_CLOEXEC, 0)
	raw(unix.SYS_DUP3, 0, sparePidfd, unix.O_CLOEXEC, 0)
}

// prepare forks the next child ahead, while the last one works: making namespaces takes longer than all that is done in them. The spare waits for its
// descriptors, and ends with the server.
//
//go:norace
//go:nosplit
//go:nocheckptr
func prepare(n *nest) (child bool) {
	n.waits = 0
	vacate()
	pair := unsafe.Pointer(&n.spare)
	if raw(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0, uintptr(pair)) != 0 {
		return false
	}
	mine, theirs := uintptr(*(*int32)(pair)), uintptr(*(*int32)(unsafe.Add(pair, 4)))
	n.who = n.request.next
	disguise(n, n.who)
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, allNamespaces|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&n.pidfd)), 0, 0, 0)
	if errno == 0 && pid == 0 {
		raw(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0)
		raw(unix.SYS_DUP3, theirs, launcherSocket, unix.O_CLOEXEC, 0)
		raw(unix.SYS_CLOSE_RANGE, launcherSocket+1, 0xffffffff, 0, 0)
		n.in.controlLen = uint64(unsafe.Sizeof(n.inFDs))
		if raw(unix.SYS_RECVMSG, launcherSocket, uintptr(unsafe.Pointer(&n.in)), unix.MSG_CMSG_CLOEXEC, 0) != 1 {
			die()
		}
		return true
	}
	undisguise(n)
	if errno == 0 {
		raw(unix.SYS_DUP3, mine, spareSocket, unix.O_CLOEXEC, 0)
		raw(unix.SYS_DUP3, uintptr(n.pidfd), sparePidfd, unix.O_CLOEXEC, 0)
		n.waits = int32(pid)
	}
	raw(unix.SYS_CLOSE_RANGE, sparePidfd+1, 0xffffffff, 0, 0)
	return false
}

// count gives how many descriptors came; 0 where the control message is not that and nothing else.
//
//go:norace
//go:nosplit
//go:nocheckptr
func count(n *nest) uintptr {
	head := (*[2]uint64)(unsafe.Pointer(&n.inFDs)) // struct cmsghdr
	length := head[0]
	if n.in.controlLen < 20 || length < 20 || length > n.in.controlLen || (length-16)/4 > maxSlots || head[1] != unix.SOL_SOCKET|unix.SCM_RIGHTS<<32 {
		return 0
	}
	return uintptr(length-16) / 4
}

// answer gives the spare its descriptors, if it is who was asked for, or forks.
//
//go:norace
//go:nosplit
//go:nocheckptr
func answer(n *nest) (child bool) {
	if count(n) == 0 {
		return false
	}
	if n.request.flags == allNamespaces && n.waits != 0 && n.who.uid == n.request.uid && n.who.gid == n.request.gid {
		n.hand.control, n.hand.controlLen = n.in.control, n.in.controlLen
		if raw(unix.SYS_SENDMSG, spareSocket, uintptr(unsafe.Pointer(&n.hand)), unix.MSG_NOSIGNAL, 0) == 1 {
			n.reply.pid, n.reply.errno, n.pidfd, n.waits = n.waits, 0, sparePidfd, 0
			return false
		}
	}
	other := owner{n.request.uid, n.request.gid}
	if n.request.flags != 0 {
		disguise(n, other)
	}
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(n.request.flags)|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&n.pidfd)), 0, 0, 0)
	if errno == 0 && pid == 0 {
		return true
	}
	undisguise(n)
	n.reply.pid, n.reply.errno = int32(pid), uint32(errno)
	if errno != 0 {
		n.reply.pid, n.pidfd = 0, -1
	}
	return false
}

const same = ^uintptr(0)

// disguise makes the server the user that the child is to be outside: so the child is the owner of its namespace, and writes its own maps.
//
//go:norace
//go:nosplit
//go:nocheckptr
func disguise(n *nest, o owner) {
	if o.gid != n.gid && raw(unix.SYS_SETRESGID, same, uintptr(o.gid), same, 0) != 0 || o.uid != n.uid && raw(unix.SYS_SETRESUID, same, uintptr(o.uid), same, 0) != 0 {
		die() // half another user: better none
	}
}

//go:norace
//go:nosplit
//go:nocheckptr
func undisguise(n *nest) {
	if raw(unix.SYS_SETRESUID, same, uintptr(n.uid), same, 0) != 0 || raw(unix.SYS_SETRESGID, same, uintptr(n.gid), same, 0) != 0 {
		die()
	}
	mortal(n) // a change of user cleared it
}

// mortal has the server die with the launcher, and so with the daemon.
//
//go:norace
//go:nosplit
//go:nocheckptr
func mortal(n *nest) {
	raw(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0)
	if raw(unix.SYS_GETPPID, 0, 0, 0, 0) != uintptr(n.parent) {
		die() // it was too late
	}
}

// grow is the child's first act: its descriptors in their slots and nothing else, the recipe mapped.
//
//go:norace
//go:nosplit
//go:nocheckptr
func grow(n *nest, count uintptr) {
	raw(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&n.dfl)), 0, 8)
	fds := unsafe.Add(unsafe.Pointer(&n.inFDs), 16)
	for i := uintptr(0); i < count; i++ {
		fd := *(*int32)(unsafe.Add(fds, i*4))
		if raw(unix.SYS_DUP3, uintptr(fd), slotBase+i, unix.O_CLOEXEC, 0) != slotBase+i {
			die()
		}
	}
	_, _, e1 := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, 3, slotBase-1, 0, 0, 0, 0)
	_, _, e2 := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, slotBase+count, 0xffffffff, 0, 0, 0, 0)
	_, _, e3 := syscall.RawSyscall6(unix.SYS_MMAP, n.base, imageMax, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED, slotImage, 0)
	if e1 != 0 || e2 != 0 || e3 != 0 {
		die()
	}
	perform(unsafe.Add(unsafe.Pointer(n), n.base-uintptr(unsafe.Pointer(n))))
	die()
}
