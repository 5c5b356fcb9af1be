//go:build unix

package home

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn tells whether this user or root owns it.
func isOwn(st fs.FileInfo) bool {
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == os.Geteuid())
}

// openToOthers tells whether group or others may do anything with it.
func openToOthers(st fs.FileInfo) bool { return st.Mode().Perm()&0o077 != 0 }

// openFlags: no link is followed, and a pipe does not block.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
