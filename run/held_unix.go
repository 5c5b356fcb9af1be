//go:build unix

package run

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow: no link is followed, and a pipe does not block.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

// ours tells whether this user made it.
func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}
