package process

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// pinThread keeps the goroutine on its thread until the process has ended: Pdeathsig fires when the thread that forked dies, not the process.
func pinThread() func() {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// attributes: a session of its own (no controlling terminal, so nothing to push keys into), and death with the daemon.
func attributes(attached bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: !attached, Pdeathsig: syscall.SIGKILL}
}

// closeOnExec marks every descriptor of the daemon, also those that whoever started it left open: Go marks only its own.
func closeOnExec() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	dir, err := os.ReadDir("/proc/self/fd") // before Linux 5.11
	if err != nil {
		return
	}
	for _, e := range dir {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

// noCore lowers this process's own core limit for good, hard limit included, and with it that of every child: both hold secrets. 1 and
// not 0: a core pattern that pipes into a program ignores 0.
var noCore = sync.OnceFunc(func() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
})

// widen lets a pipe hold more. A user who has many of them is refused, and it stays as it was.
func widen(pipe *os.File) {
	if raw, err := pipe.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
}

// awaitExit blocks until the process has ended, and leaves it unreaped.
func awaitExit(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}
