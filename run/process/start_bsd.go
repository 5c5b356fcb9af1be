//go:build unix && !linux

package process

import (
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

func attributes(attached bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: !attached} }

// closeOnExec marks every descriptor that whoever started the daemon left open.
func closeOnExec() {
	dir, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range dir {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

var noCore = sync.OnceFunc(func() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 0})
})
