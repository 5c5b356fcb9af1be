package connect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is the head of struct seccomp_notif and its seccomp_data, as far as a connect needs it.
type notification struct {
	id    uint64
	pid   int // of the thread, in this process's namespace
	sock  int
	addr  uint64
	bytes int32 // of the address, as the kernel reads it: an int
}

// questions is the listener of a filter.
type questions struct {
	file *os.File // pollable
	size int      // of the kernel's struct seccomp_notif, which may grow
}

const leastNotification = 80

// newQuestions takes over a listener.
func newQuestions(listener *os.File) (*questions, error) {
	defer listener.Close()
	var sizes struct{ notif, resp, data uint16 }
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes))); errno != 0 {
		return nil, errno
	}
	if sizes.notif < leastNotification {
		return nil, errSizes
	}
	raw, err := listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if cerr := raw.Control(func(l uintptr) { fd, err = unix.FcntlInt(l, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return nil, cerr
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // for the runtime's poller: an answer to Close
	}
	if err != nil {
		return nil, err
	}
	q := &questions{os.NewFile(uintptr(fd), "seccomp listener"), int(sizes.notif)}
	var nobody uint64
	if err := q.control(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&nobody)); !errors.Is(err, unix.ENOENT) {
		_ = q.close()
		return nil, fmt.Errorf("%w: %w", errNoListener, err)
	}
	return q, nil
}

// next waits for a question. It fails when nobody is left to ask, or after close.
func (q *questions) next() (notification, error) {
	raw, err := q.file.SyscallConn()
	if err != nil {
		return notification{}, err
	}
	for {
		var n notification
		var failed error
		if err := raw.Read(func(fd uintptr) bool { n, failed = q.take(fd); return failed != unix.EAGAIN }); err != nil {
			return n, err
		}
		if failed != unix.ENOENT && failed != unix.EINTR { // who asked is gone, or is asking anew
			return n, failed
		}
	}
}

// take receives one question if there is one, and EAGAIN if not: the kernel's own wait would not end with the last process.
func (q *questions) take(fd uintptr) (n notification, err error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, 0); err != nil {
		return n, err
	}
	switch got := poll[0].Revents; {
	case got&unix.POLLIN != 0:
	case got != 0:
		return n, os.ErrClosed // hung up: no process is under the filter any more
	default:
		return n, unix.EAGAIN
	}
	b := make([]byte, q.size)
	if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&b[0])); err != nil {
		return n, err
	}
	word := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	// id 8, pid 4, flags 4, then seccomp_data: number 4, architecture 4, instruction pointer 8, arguments
	return notification{
		id: word(0), pid: int(binary.NativeEndian.Uint32(b[8:])), sock: int(int32(word(32))), addr: word(40), bytes: int32(word(48)),
	}, nil
}

// valid tells whether the thread still waits, so that what was found by its pid was its own.
func (q *questions) valid(id uint64) bool {
	return q.control(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == nil
}

// answer ends the call with 0 or an error. It fails if the thread does not wait any more.
func (q *questions) answer(id uint64, errno unix.Errno) error {
	r := struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: id, errno: -int32(errno)}
	return q.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

func (q *questions) control(request uintptr, arg unsafe.Pointer) error {
	raw, err := q.file.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = ioctl(fd, request, arg)
		}
	}); cerr != nil {
		return cerr
	}
	return err
}

func (q *questions) close() error { return q.file.Close() }

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
