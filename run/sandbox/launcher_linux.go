package sandbox

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launcherName is the launcher's whole command line. Typing it gains nothing: the launcher has the rights of whoever started it, no secret, and
// leaves at once where its third descriptor is not a socket that its own parent made.
const launcherName = "zavhoz-launcher"

const launcherSocket = 3

// Main makes this process the launcher if the daemon started it as that; then it never returns. It is the first line of main and of TestMain.
func Main() {
	if len(os.Args) != 1 || os.Args[0] != launcherName {
		return
	}
	runtime.LockOSThread() // children die with the thread that forked them: it is this one, to the end
	if !fromDaemon() {
		os.Exit(exitFailed)
	}
	l, err := newLauncher()
	if err != nil {
		os.Exit(exitFailed)
	}
	for l.serve() {
	}
	os.Exit(0)
}

// fromDaemon tells whether descriptor 3 is one end of a pair that our parent made, which is our own user.
func fromDaemon() bool {
	kind, err := unix.GetsockoptInt(launcherSocket, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return false
	}
	peer, err := unix.GetsockoptUcred(launcherSocket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getppid() && int(peer.Uid) == os.Geteuid()
}

type launcher struct {
	base  unsafe.Pointer // imageAt, kept free
	birth birth
	buf   [requestSize + 1]byte
	oob   []byte
}

// newLauncher makes the process fit: parents of user namespaces must be dumpable, and it holds nothing that a dump could give away. Children
// that have ended vanish by themselves, for their own notes tell how.
func newLauncher() (*launcher, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	signal.Ignore(unix.SIGCHLD, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE) // the daemon ends it
	if err := unix.CloseRange(launcherSocket+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, err
	}
	base, err := unix.MmapPtr(-1, 0, address(imageAt), imageMax, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		return nil, err
	}
	if uintptr(base) != imageAt { // before Linux 4.17
		return nil, unix.ENOMEM
	}
	return &launcher{base: base, oob: make([]byte, unix.CmsgSpace(4*maxSlots))}, nil
}

// serve answers one request; false at the daemon's end.
func (l *launcher) serve() bool {
	n, oobn, flags, _, err := recvmsg(launcherSocket, l.buf[:], l.oob)
	if err != nil || n == 0 {
		return false
	}
	fds := rights(l.oob[:oobn])
	a := reply{errno: unix.EBADMSG, stage: stageRequest}
	pidfd := -1
	if q, err := decodeRequest(l.buf[:n]); err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0 && len(fds) > 0 && len(fds) <= maxSlots {
		a, pidfd = l.launch(q, fds)
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	var oob []byte
	if pidfd >= 0 {
		oob = unix.UnixRights(pidfd)
		defer unix.Close(pidfd)
	}
	return sendmsg(launcherSocket, a.encode(), oob) == nil
}

// launch forks. With a user namespace the child waits until its maps are written: the one thing that must be done from outside.
func (l *launcher) launch(q request, fds []int) (reply, int) {
	b := &l.birth
	*b = birth{flags: uintptr(q.flags), sync: -1, count: int32(len(fds)), pidfd: -1, mask: math.MaxUint64}
	for i, fd := range fds {
		b.fds[i] = int32(fd)
	}
	sync := [2]int{-1, -1}
	if q.flags&unix.CLONE_NEWUSER != 0 {
		if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
			return refusal(stageFork, err), -1
		}
		b.sync = int32(sync[0])
		defer unix.Close(sync[0])
		defer unix.Close(sync[1])
	}
	pid, errno := fork(b, l.base)
	runtime.KeepAlive(b)
	if errno != 0 {
		return refusal(stageFork, errno), -1
	}
	if b.sync >= 0 {
		err := writeMaps(int(pid), q)
		if err == nil {
			_, err = unix.Write(sync[1], []byte{1})
		}
		if err != nil {
			_ = unix.PidfdSendSignal(int(b.pidfd), unix.SIGKILL, nil, 0)
			_ = unix.Close(int(b.pidfd))
			return refusal(stageMaps, err), -1
		}
	}
	return reply{pid: int32(pid)}, int(b.pidfd)
}

func refusal(s stage, err error) reply {
	errno := unix.EIO
	if e, ok := err.(syscall.Errno); ok {
		errno = e
	}
	return reply{errno: errno, stage: s}
}

// writeMaps gives the namespace its one user and one group.
func writeMaps(pid int, q request) error {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if !q.setgroups {
		if err := writeFile(dir+"setgroups", "deny"); err != nil {
			return err
		}
	}
	if err := writeFile(dir+"gid_map", fmt.Sprintf("%d %d 1\n", q.inner.gid, q.outer.gid)); err != nil {
		return err
	}
	return writeFile(dir+"uid_map", fmt.Sprintf("%d %d 1\n", q.inner.uid, q.outer.uid))
}

func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// address makes a pointer of a number: one that is no Go memory.
func address(n uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&n)) }
