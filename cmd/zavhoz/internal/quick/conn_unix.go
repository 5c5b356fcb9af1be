//go:build unix

package quick

import (
	"os"

	"golang.org/x/sys/unix"
)

// dial connects to the daemon's socket, whose owner must be this user. Package net would bring resolvers along.
func dial(path string) (*conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if uid, err := peerUID(fd); err != nil || uid != os.Getuid() {
		unix.Close(fd)
		return nil, ErrBroken
	}
	if err := unix.SetNonblock(fd, true); err != nil { // waiting in the poller costs the scheduler nothing; a blocked thread keeps it looking
		unix.Close(fd)
		return nil, err
	}
	return &conn{f: os.NewFile(uintptr(fd), "operator.sock")}, nil
}
