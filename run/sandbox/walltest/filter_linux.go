package walltest

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Filter puts a system call filter on the calling thread, for good: it holds for all that the thread starts. It sets no_new_privs. With SECCOMP_FILTER_FLAG_NEW_LISTENER
// among the flags it gives the listener (close-on-exec), else nil. The caller has locked its goroutine to the thread.
func Filter(program []bpf.RawInstruction, flags uintptr) (*os.File, error) {
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	switch {
	case errno != 0:
		return nil, errno
	case flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0:
		return nil, nil
	}
	return os.NewFile(fd, "seccomp listener"), nil
}
