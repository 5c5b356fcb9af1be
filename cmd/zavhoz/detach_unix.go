//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// readyFD is the descriptor on which a started daemon says that it is ready.
const readyFD = 3

// detach puts the daemon into a session of its own, so that no terminal's or editor's end reaches it, and hands it the pipe to report on.
func detach(cmd *exec.Cmd, ready *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{ready}
}

// readyPipe is the pipe that detach handed over.
func readyPipe() *os.File { return os.NewFile(readyFD, "ready") }

// lockStart holds the lock under which one door at a time starts a daemon. The kernel frees it when the holder dies.
func lockStart(ctx context.Context, dir home.Dir) (unlock func(), err error) {
	f, err := os.OpenFile(dir.Lock(), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fault.New(fault.DaemonUnavailable, "the lock file beside the socket cannot be opened", "check the home folder: `zavhoz doctor`").Because(err)
	}
	for deadline := time.Now().Add(startWait); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(deadline) {
			f.Close()
			return nil, fault.New(fault.Busy, "another command is starting the daemon and does not come to an end", "try again; `zavhoz doctor` says more").Because(err)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		}
	}
}
