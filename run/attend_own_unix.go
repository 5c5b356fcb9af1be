//go:build unix

package run

import (
	"os"

	"golang.org/x/sys/unix"
)

// own gives a descriptor of our own for the terminal: the process closes its one when it ends, and what the terminal still holds by then would be lost.
func own(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "terminal"), nil // non-blocking as f is: they share what was opened
}
