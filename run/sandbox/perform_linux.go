package sandbox

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What follows, like nest_linux.go, runs in a process that was forked off the launcher: one thread, a copy of its memory, and no Go runtime: nobody else
// would ever release a lock, grow a stack or collect garbage. So: no allocation, no call that may grow the stack (nosplit), no
// instrumentation (norace, nocheckptr), no pointer written to memory (a write barrier), no index that could panic.

//go:norace
//go:nosplit
func die() {
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, exitFailed, 0, 0, 0, 0, 0)
	}
}

// perform does the steps one by one. It comes back at the end of the recipe or, having reported it, at the first failure.
//
//go:norace
//go:nosplit
//go:nocheckptr
func perform(base unsafe.Pointer) {
	h := (*header)(base)
	for i := int32(0); uint32(i) < h.steps; {
		s := (*step)(unsafe.Add(base, stepsAt+uintptr(i)*unsafe.Sizeof(step{})))
		next := i + 1
		var r uintptr
		var errno syscall.Errno
		switch {
		case s.nr >= 0:
			r, errno = act(base, s)
		case s.nr == opJump, s.nr == opJumpSame && value(base, s, 0) == value(base, s, 1):
			next = s.target
		case s.nr == opSet:
			r = value(base, s, 0)
		case s.nr == opCompare:
			errno = differ(value(base, s, 0)-imageAt, value(base, s, 1)-imageAt, value(base, s, 2), base)
		case s.nr == opKillOwn:
			killOwn(unsafe.Add(base, value(base, s, 0)-imageAt), value(base, s, 1))
		}
		listed := errno != 0 && (uint16(errno) == s.errnos[0] || uint16(errno) == s.errnos[1])
		switch {
		case errno == 0 && (s.flags&flagWant != 0 && int64(r) != s.want || s.flags&flagMustFail != 0):
			report(base, h, i, syscall.EREMOTEIO)
			return
		case errno != 0 && !listed && s.flags&flagMayFail == 0:
			report(base, h, i, errno)
			return
		case listed && s.flags&flagOnError != 0, errno == 0 && r == 0 && s.flags&flagOnZero != 0:
			next = s.target
		}
		if s.dst != 0 {
			if errno != 0 {
				r = -uintptr(errno)
			}
			*(*int32)(unsafe.Add(base, s.dst-imageAt)) = int32(r)
		}
		i = next
	}
}

// act makes the call, again where a signal cut it short.
//
//go:norace
//go:nosplit
func act(base unsafe.Pointer, s *step) (uintptr, syscall.Errno) {
	for {
		r, _, errno := syscall.RawSyscall6(uintptr(s.nr), value(base, s, 0), value(base, s, 1), value(base, s, 2), value(base, s, 3), value(base, s, 4), value(base, s, 5))
		if errno != syscall.EINTR {
			return r, errno
		}
	}
}

// value gives an argument, or what its cell holds.
//
//go:norace
//go:nosplit
//go:nocheckptr
func value(base unsafe.Pointer, s *step, i uintptr) uintptr {
	a := *(*uint64)(unsafe.Add(unsafe.Pointer(&s.args), i*8))
	if s.refs&(1<<i) == 0 {
		return uintptr(a)
	}
	return uintptr(*(*int32)(unsafe.Add(base, uintptr(a)-imageAt)))
}

//go:norace
//go:nosplit
//go:nocheckptr
func differ(a, b, n uintptr, base unsafe.Pointer) syscall.Errno {
	for i := uintptr(0); i < n; i++ {
		if *(*byte)(unsafe.Add(base, a+i)) != *(*byte)(unsafe.Add(base, b+i)) {
			return syscall.ESTALE
		}
	}
	return 0
}

// killOwn reads process ids as /proc/…/children lists them.
//
//go:norace
//go:nosplit
//go:nocheckptr
func killOwn(text unsafe.Pointer, n uintptr) {
	pid := uintptr(0)
	for i := uintptr(0); i < n; i++ {
		c := *(*byte)(unsafe.Add(text, i))
		if c >= '0' && c <= '9' {
			pid = pid*10 + uintptr(c-'0')
			continue
		}
		if pid > 1 {
			_, _, _ = syscall.RawSyscall6(unix.SYS_KILL, pid, uintptr(unix.SIGKILL), 0, 0, 0, 0)
		}
		pid = 0
	}
}

// report tells the daemon which step failed and how; the note's place is the header's own, which nobody needs any more.
//
//go:norace
//go:nosplit
//go:nocheckptr
func report(base unsafe.Pointer, h *header, i int32, errno syscall.Errno) {
	control := uintptr(h.control)
	note := (*[3]uint32)(base)
	note[0], note[1], note[2] = noteFailed, uint32(i), uint32(errno)
	_, _, _ = syscall.RawSyscall6(unix.SYS_SENDTO, control, uintptr(base), 12, unix.MSG_NOSIGNAL, 0, 0)
}
