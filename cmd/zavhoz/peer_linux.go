package main

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/web"
)

// peerOf asks the kernel who is at the other end of a unix socket.
func peerOf(c net.Conn) (web.Peer, bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return web.Peer{}, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return web.Peer{}, false
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || cerr != nil {
		return web.Peer{}, false
	}
	return web.Peer{UID: int(cred.Uid), PID: int(cred.Pid), Same: func() bool { return connectedLives(raw) }}, true
}

// connectedLives tells whether the process that made the connection is alive. The kernel keeps it with the connection, whatever its number is by then. Linux before
// 6.5 does not tell, and then it is taken for gone.
func connectedLives(raw syscall.RawConn) bool {
	lives := false
	err := raw.Control(func(fd uintptr) {
		pidfd, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if err != nil || pidfd < 0 {
			return
		}
		defer unix.Close(pidfd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0) // readable: it has ended
			if err == unix.EINTR {
				continue
			}
			lives = n == 0 && err == nil
			return
		}
	})
	return err == nil && lives
}
