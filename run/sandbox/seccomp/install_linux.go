package seccomp

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Install puts the filter on the calling thread, for good: it holds for all that the thread starts. It sets no_new_privs. Where o.Notify is set
// it gives the listener that answers connect(2) (close-on-exec), else nil. The caller has locked its goroutine to the thread, and from here on
// runs nothing on it that the filter refuses.
func Install(o Options) (*os.File, error) {
	raw, err := Program(runtime.GOARCH, o)
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("seccomp: no_new_privs: %w", err)
	}
	if !o.Notify {
		_, err := set(filter, 0)
		return nil, err
	}
	// a signal between the question and the answer must not ask again: Go programs signal themselves all the time
	fd, err := set(filter, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.19
		fd, err = set(filter, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(fd, "seccomp listener"), nil
}

func set(filter []unix.SockFilter, flags uintptr) (uintptr, error) {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, fmt.Errorf("seccomp: the kernel takes no filter: %w", errno)
	}
	return fd, nil
}
