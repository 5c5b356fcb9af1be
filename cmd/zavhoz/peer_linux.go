package main

import (
	"net"

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
	return web.Peer{UID: int(cred.Uid), PID: int(cred.Pid)}, true
}
